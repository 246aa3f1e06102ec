// The store of one server: its spaces, blocks and leases, and the verbs over them. Knows no wire
// message and no transport.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/codec/coder_pool.h"
#include "server/base/byte_budget.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/config.h"
#include "server/store/block_store.h"
#include "server/store/event_log.h"
#include "server/store/fetch.h"
#include "server/store/hbm_migrate.h"
#include "server/store/hbm_reads.h"
#include "server/store/ingest.h"
#include "server/store/lease_table.h"
#include "server/store/lookup.h"
#include "server/store/migrate.h"
#include "server/store/quarantine_list.h"
#include "server/store/space_table.h"
#include "server/store/ssd_reads.h"
#include "server/tier/tier.h"

namespace larder::server {

// The SSD tier as a store begins with it: not recovered yet.
struct SsdParts {
  SsdFrames& frames;
  std::array<uint8_t, Fingerprinter::kSecretBytes> fingerprint_secret;  // of the names in it
  std::function<absl::Status(const std::function<void(const SsdEntry&)>&)> recover;
  std::function<void(SsdOwner&)> start;
};

// The tiers that a store moves blocks between.
struct StoreTiers {
  Tier& dram;
  const SsdParts* ssd = nullptr;
  DeviceTier* hbm = nullptr;
  DeviceEncoder* encoder = nullptr;  // no tier, but a device as well
};

// Thread-safe. The tiers, `clock` and `metrics` must outlive it. With an SSD tier it begins with what
// survived there (migrate()->recovered() says whether that could be read). Before that tier goes,
// StopMigrate; before the store goes, the tier. StopMigrate also before the HBM tier's arena goes.
class Store {
 public:
  Store(const Config& config, const StoreTiers& tiers, const Clock& clock, Metrics& metrics);

  // As SpaceTable's; what a restart found of the spaces is their tenant's when it returns. The first time that
  // scans the index where the tenant has limits: 3 ns for each block of others, 50 ns for its own, and what evicting costs.
  absl::StatusOr<std::vector<const SpaceEntry*>> Register(std::string_view tenant,
                                                          const Manifest& manifest);
  SpaceTable& spaces() { return spaces_; }
  BlockStore& blocks() { return blocks_; }
  LeaseTable& leases() { return leases_; }
  Lookup& lookup() { return lookup_; }
  EventLog& events() { return events_; }
  QuarantineList& quarantine() { return quarantine_; }
  // Every account, when some tenant has limits; nothing otherwise.
  std::vector<TenantSample> TenantSamples() const;
  const ByteBudget& ingest_budget() const { return ingest_budget_; }
  Tier& dram() { return dram_; }
  // nullptr without an SSD tier.
  SsdFrames* ssd() { return ssd_; }
  Migrate* migrate() { return migrate_ ? &*migrate_ : nullptr; }
  // All three, or none without an HBM tier.
  DeviceTier* hbm() { return hbm_; }
  HbmMigrate* hbm_migrate() { return hbm_migrate_ ? &*hbm_migrate_ : nullptr; }
  HbmReads* hbm_reads() { return hbm_reads_ ? &*hbm_reads_ : nullptr; }

  IngestSession OpenIngest(const SpaceEntry& space, uint32_t count) {
    return IngestSession({blocks_, ingest_budget_, coders_, metrics_, migrate(), encoder_}, space,
                         count);
  }

  FetchSession OpenFetch(const SpaceEntry& space, std::vector<PrefixHash> hashes,
                         const FetchSession::Options& options) {
    return FetchSession(
        {blocks_, draining_, clock_, metrics_, reads_ ? &*reads_ : nullptr, hbm_reads()}, space,
        std::move(hashes), options);
  }

  // Admission ends; what runs goes on. Never undone.
  void Drain() { draining_.store(true, std::memory_order_relaxed); }
  bool draining() const { return draining_.load(std::memory_order_relaxed); }

  // Writes what is in memory alone to SSD until `deadline`; only after Drain and the last put.
  // Returns how many blocks that was.
  uint64_t DemoteAll(TimePoint deadline) { return migrate_ ? migrate_->Drain(deadline) : 0; }
  void StopMigrate() {
    if (hbm_migrate_) hbm_migrate_->Stop();
    if (migrate_) migrate_->Stop();
  }

  // Ends due leases, expires due blocks. The server's janitor calls it ten times a second.
  void Advance() {
    leases_.Advance();
    blocks_.Advance();
  }

 private:
  void BeginSsd(const Config& config, const SsdParts& ssd);
  void BeginHbm(const Config& config);

  Tier& dram_;
  const Clock& clock_;
  Metrics& metrics_;
  const CodecPolicy codecs_;
  const TenantAccounts tenants_;
  CoderPool coders_;
  SpaceTable spaces_;
  EventLog events_;
  QuarantineList quarantine_;
  SsdFrames* const ssd_;
  DeviceTier* const hbm_;
  DeviceEncoder* const encoder_;
  std::atomic<bool> draining_{false};
  BlockStore blocks_;
  std::optional<Migrate> migrate_;
  std::optional<SsdReads> reads_;
  std::optional<HbmReads> hbm_reads_;
  std::optional<HbmMigrate> hbm_migrate_;
  LeaseTable leases_;  // after blocks_: leases hold pins
  ByteBudget ingest_budget_;
  Lookup lookup_;
};

}  // namespace larder::server
