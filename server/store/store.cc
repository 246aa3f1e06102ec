#include "server/store/store.h"

#include <algorithm>

#include "server/base/check.h"
#include "server/policy/lfuda_order.h"
#include "server/policy/lru_order.h"
#include "server/policy/s3fifo_order.h"

namespace larder::server {
namespace {

// Every block takes at least a granule, so the index can never be full before the tiers are.
// 2^28 blocks are 24 GiB of index: a larger SSD of frames that small is not filled.
size_t BlocksMax(const Config& config, const StoreTiers& tiers) {
  constexpr uint64_t kSsdBlocksMax = uint64_t{1} << 28;
  uint64_t blocks = tiers.dram.usage().budget_bytes / kGranuleBytes;
  if (tiers.hbm != nullptr) blocks += tiers.hbm->usage().budget_bytes / kGranuleBytes;
  if (tiers.ssd != nullptr) blocks += std::min(config.ssd_bytes / kGranuleBytes, kSsdBlocksMax);
  return blocks;
}

// What is being written, waits to be promoted, or is on its way to HBM may hold this much of memory. A write takes two syncs of
// the device, tens of milliseconds on some: little in flight would be slow.
uint64_t MigrateBytesMax(const Config& config, uint64_t wanted) {
  return std::min(wanted, config.dram_bytes / 3);
}

// Memory of blocks that come back from HBM at once, at most a quarter: eight blocks of 4 MiB read ahead
// for each of 32 gets.
constexpr uint64_t kHbmReadBytesMax = uint64_t{1} << 30;

// Block references that leases may hold in all: 64 MiB, and two hundred requests of the longest
// chain.
constexpr size_t kLeasedPinsMax = size_t{16} << 20;

// As many ghosts as resident blocks of 32 KiB, the smallest that engines usually store.
constexpr uint64_t kBytesPerGhost = 32 * 1024;

EvictionOrderFactory OrderOf(const Config& config, size_t blocks_max) {
  switch (config.policy) {
    case PolicyKind::kLru:
      return [](OrderLinks& links) { return MakeLruOrder(links); };
    case PolicyKind::kLfuda:
      return [](OrderLinks& links) { return MakeLfudaOrder(links); };
    case PolicyKind::kS3Fifo:
      return
          [ghosts = std::make_shared<GhostTable>(1 + blocks_max * kGranuleBytes / kBytesPerGhost)](
              OrderLinks& links) { return MakeS3FifoOrder(links, ghosts); };
  }
  LARDER_CHECK(false);
}

}  // namespace

Store::Store(const Config& config, const StoreTiers& tiers, const Clock& clock, Metrics& metrics)
    : dram_(tiers.dram),
      clock_(clock),
      metrics_(metrics),
      codecs_(config),
      tenants_(config),
      spaces_(codecs_, tenants_, metrics),
      ssd_(tiers.ssd != nullptr ? &tiers.ssd->frames : nullptr),
      hbm_(tiers.hbm),
      encoder_(tiers.encoder),
      blocks_({tiers.dram, BlocksMax(config, tiers), OrderOf(config, BlocksMax(config, tiers)),
               tiers.ssd != nullptr ? tiers.ssd->fingerprint_secret : RandomSecret(), clock,
               spaces_, events_, quarantine_, metrics, tenants_, ssd_,
               config.ssd_second_use ? SsdAdmission::kSecondUse : SsdAdmission::kAll, hbm_}),
      leases_(
          {config.leases_max, config.leases_per_client_max, kLeasedPinsMax, clock, RandomLeaseId}),
      ingest_budget_(std::min(config.ingest_bytes_max, config.dram_bytes / 2)),
      lookup_(blocks_, leases_, metrics) {
  if (tiers.ssd != nullptr) BeginSsd(config, *tiers.ssd);
  if (hbm_ != nullptr) BeginHbm(config);
}

void Store::BeginSsd(const Config& config, const SsdParts& ssd) {
  migrate_.emplace(Migrate::Options{
      .blocks = blocks_,
      .ssd = ssd.frames,
      .clock = clock_,
      .metrics = metrics_,
      .recover = ssd.recover,
      .start = ssd.start,
      .write_bytes_max = MigrateBytesMax(config, uint64_t{64} << 20),
      .promote_bytes_max =
          MigrateBytesMax(config, std::min(uint64_t{32} << 20, config.ssd_staging_bytes / 4))});
  reads_.emplace(SsdReads::Options{blocks_, ssd.frames, clock_,
                                   [this](const SpaceEntry& space, const PinnedFrame& frame,
                                          const SsdLocation& location) {
                                     migrate_->Promote(space, frame, location);
                                   }});
}

void Store::BeginHbm(const Config& config) {
  const uint64_t read_bytes_max = std::min(kHbmReadBytesMax, config.dram_bytes / 4);
  const uint64_t move_bytes_max = MigrateBytesMax(config, uint64_t{64} << 20);
  hbm_reads_.emplace(HbmReads::Options{.blocks = blocks_,
                                       .tier = *hbm_,
                                       .clock = clock_,
                                       .ssd = reads_ ? &*reads_ : nullptr,
                                       .bytes_max = read_bytes_max,
                                       .begun = [this] { hbm_migrate_->Wake(); }});
  hbm_migrate_.emplace(HbmMigrate::Options{.blocks = blocks_,
                                           .dram = dram_,
                                           .hbm = *hbm_,
                                           .reads = *hbm_reads_,
                                           .clock = clock_,
                                           .draining = draining_,
                                           .bytes_max = move_bytes_max});
}

absl::StatusOr<std::vector<const SpaceEntry*>> Store::Register(std::string_view tenant,
                                                               const Manifest& manifest) {
  auto spaces = spaces_.Register(tenant, manifest);
  if (!spaces.ok()) return spaces;
  for (const SpaceEntry* space : *spaces) blocks_.Adopt(*space);
  return spaces;
}

std::vector<TenantSample> Store::TenantSamples() const {
  std::vector<TenantSample> samples;
  if (tenants_.limits().empty()) return samples;
  const auto usage = blocks_.tenant_usage();
  for (size_t account = 0; account < usage.size(); ++account) {
    TenantSample& sample = samples.emplace_back();
    sample.tenant = tenants_.names()[account];
    sample.used_bytes = usage[account].used_bytes;
    sample.ssd_used_bytes = usage[account].ssd_used_bytes;
    sample.evicted_blocks = usage[account].evicted_blocks;
    sample.no_room_blocks = usage[account].no_room_blocks;
    if (account == kSharedAccount) continue;
    const TenantLimits& limits = tenants_.limits()[account - 1];
    if (limits.quota_bytes != kNoQuota) sample.quota_bytes = limits.quota_bytes;
    sample.reserve_bytes = limits.reserve_bytes;
    const TenantLimits& ssd = tenants_.ssd_limits()[account - 1];
    if (ssd.quota_bytes != kNoQuota) sample.ssd_quota_bytes = ssd.quota_bytes;
    sample.ssd_reserve_bytes = ssd.reserve_bytes;
  }
  return samples;
}

}  // namespace larder::server
