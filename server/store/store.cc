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
size_t BlocksMax(const Config& config, const Tier& dram, bool with_ssd) {
  constexpr uint64_t kSsdBlocksMax = uint64_t{1} << 28;
  const uint64_t on_ssd = with_ssd ? std::min(config.ssd_bytes / kGranuleBytes, kSsdBlocksMax) : 0;
  return dram.usage().budget_bytes / kGranuleBytes + on_ssd;
}

// What is being written or waits to be promoted may hold this much of memory. A write takes two syncs of
// the device, tens of milliseconds on some: little in flight would be slow.
uint64_t MigrateBytesMax(const Config& config, uint64_t wanted) {
  return std::min(wanted, config.dram_bytes / 3);
}

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

Store::Store(const Config& config, Tier& dram, const Clock& clock, Metrics& metrics,
             const SsdParts* ssd)
    : dram_(dram),
      clock_(clock),
      metrics_(metrics),
      codecs_(config),
      tenants_(config),
      spaces_(codecs_, tenants_, metrics),
      ssd_(ssd != nullptr ? &ssd->frames : nullptr),
      blocks_({dram, BlocksMax(config, dram, ssd != nullptr),
               OrderOf(config, BlocksMax(config, dram, ssd != nullptr)),
               ssd != nullptr ? ssd->fingerprint_secret : RandomSecret(), clock, spaces_, events_,
               quarantine_, metrics, tenants_, ssd_,
               config.ssd_second_use ? SsdAdmission::kSecondUse : SsdAdmission::kAll}),
      leases_(
          {config.leases_max, config.leases_per_client_max, kLeasedPinsMax, clock, RandomLeaseId}),
      ingest_budget_(std::min(config.ingest_bytes_max, config.dram_bytes / 2)),
      lookup_(blocks_, leases_, metrics) {
  if (ssd == nullptr) return;
  migrate_.emplace(Migrate::Options{
      .blocks = blocks_,
      .ssd = ssd->frames,
      .clock = clock,
      .recover = ssd->recover,
      .start = ssd->start,
      .write_bytes_max = MigrateBytesMax(config, uint64_t{64} << 20),
      .promote_bytes_max =
          MigrateBytesMax(config, std::min(uint64_t{32} << 20, config.ssd_staging_bytes / 4))});
  reads_.emplace(SsdReads::Options{blocks_, ssd->frames, clock,
                                   [this](const SpaceEntry& space, const PinnedFrame& frame,
                                          const SsdLocation& location) {
                                     migrate_->Promote(space, frame, location);
                                   }});
}

std::vector<TenantSample> Store::TenantSamples() const {
  std::vector<TenantSample> samples;
  if (tenants_.limits().empty()) return samples;
  const auto usage = blocks_.tenant_usage();
  for (size_t account = 0; account < usage.size(); ++account) {
    TenantSample& sample = samples.emplace_back();
    sample.tenant = tenants_.names()[account];
    sample.used_bytes = usage[account].used_bytes;
    sample.evicted_blocks = usage[account].evicted_blocks;
    sample.no_room_blocks = usage[account].no_room_blocks;
    if (account == kSharedAccount) continue;
    const TenantLimits& limits = tenants_.limits()[account - 1];
    if (limits.quota_bytes != kNoQuota) sample.quota_bytes = limits.quota_bytes;
    sample.reserve_bytes = limits.reserve_bytes;
  }
  return samples;
}

}  // namespace larder::server
