// The Lookup verb: longest resident prefix, optionally under a lease.
#pragma once

#include <atomic>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/block_store.h"
#include "server/store/lease_table.h"

namespace larder::server {

struct LookupAnswer {
  std::vector<Residency> blocks;
  MissReason miss_reason = MissReason::kNone;
  std::string lease_id;  // empty when nothing was leased
};

// Thread-safe.
class Lookup {
 public:
  Lookup(BlockStore& blocks, LeaseTable& leases, Metrics& metrics)
      : blocks_(blocks), leases_(leases), metrics_(metrics) {}

  // lease_ttl zero: no lease; nothing is pinned, nothing is touched. RESOURCE_EXHAUSTED at the
  // lease caps.
  absl::StatusOr<LookupAnswer> Run(const SpaceEntry& space, std::span<const PrefixHash> hashes,
                                   Fidelity fidelity_min, std::string_view client,
                                   std::chrono::milliseconds lease_ttl);

  // Tokens found since the start, by tier.
  TierTokens hits() const {
    TierTokens hits;
    for (int tier = 0; tier < kTiers; ++tier) hits.tokens[tier] = hits_[tier].load();
    return hits;
  }

 private:
  BlockStore& blocks_;
  LeaseTable& leases_;
  Metrics& metrics_;
  std::atomic<uint64_t> hits_[kTiers] = {};
};

}  // namespace larder::server
