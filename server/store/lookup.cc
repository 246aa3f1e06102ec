#include "server/store/lookup.h"

#include <utility>

#include "server/base/fault_point.h"
#include "server/base/planted_bug.h"

namespace larder::server {

absl::StatusOr<LookupAnswer> Lookup::Run(const SpaceEntry& space,
                                         std::span<const PrefixHash> hashes, Fidelity fidelity_min,
                                         std::string_view client,
                                         std::chrono::milliseconds lease_ttl) {
  const bool leased = lease_ttl.count() > 0;
  BlockStore::Prefix prefix = blocks_.FindPrefix(space, hashes, fidelity_min, leased);

  LookupAnswer answer;
  if (leased && !prefix.pins.empty()) {
    FaultAt("lookup.lease");
    if (PlantedBug("lookup.lease_without_pins")) prefix.pins.Reset();
    auto lease = leases_.Grant(client, std::move(prefix.pins), lease_ttl);
    if (!lease.ok()) return lease.status();
    answer.lease_id = *std::move(lease);
  }
  answer.blocks = std::move(prefix.blocks);
  answer.miss_reason = prefix.miss_reason;

  const uint64_t query_tokens = hashes.size() * uint64_t{space.shape.tokens};
  const uint64_t hit_tokens = answer.blocks.size() * uint64_t{space.shape.tokens};
  TierTokens hits;
  for (const Residency& block : answer.blocks) hits[block.tier()] += space.shape.tokens;
  for (int tier = 0; tier < kTiers; ++tier) {
    hits_[tier].fetch_add(hits.tokens[tier], std::memory_order_relaxed);
  }
  metrics_.CountLookup(space.metrics, query_tokens, hits, answer.miss_reason);
  space.lookup_tokens.fetch_add(query_tokens, std::memory_order_relaxed);
  space.hit_tokens.fetch_add(hit_tokens, std::memory_order_relaxed);
  return answer;
}

}  // namespace larder::server
