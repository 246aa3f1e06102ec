// Strict priority 0-100 above an EvictionOrder per band: no block of a band goes while a lower band
// has one that may go.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "proto/contract/limits.h"
#include "server/policy/eviction_order.h"

namespace larder::server {

// Makes the order of one band over the shared links. Called when the first block of a priority
// comes.
using EvictionOrderFactory = std::function<std::unique_ptr<EvictionOrder>(OrderLinks& links)>;

// A block is in one of three conditions: absent, ordered (may become a victim), or parked (was the
// coldest but could not go: it stands in no queue until Unpark, which makes it the coldest of its
// band again, or, if it was touched meanwhile, a warm one). Parking is what makes "tail-first" and
// pins cost O(1): the index parks what it may not evict and unparks it when the last descendant or
// pin is gone.
//
// Calls that need a block in some condition abort when it is in another: that is a bug of the
// index. Thread-compatible. Every call is O(1) amortised and allocates nothing but a band's order,
// once.
//
//   OrderLinks links(blocks_max);
//   PriorityOrder order(links, [](OrderLinks& links) { return MakeLruOrder(links); });
//   order.Insert(block, fingerprint, kPriorityDefault);
//   BlockRef victim;
//   while ((victim = order.Coldest()) != kNoBlock && !MayGo(victim)) order.Park(victim);
//   if (victim != kNoBlock) order.Remove(victim, FingerprintOf(victim));
class PriorityOrder {
 public:
  // Blocks are numbered below the capacity of `links`, which must outlive this. Orders of distinct
  // blocks may share them.
  PriorityOrder(OrderLinks& links, EvictionOrderFactory factory);
  ~PriorityOrder();
  PriorityOrder(PriorityOrder&&) noexcept;

  // The block is absent; priority <= kPriorityMax.
  void Insert(BlockRef block, uint64_t fingerprint, uint8_t priority);
  // Ordered: as its order says. Parked: remembered until Unpark.
  void Touch(BlockRef block);
  // Moves the block to another band, as a newcomer there; parked, it stays so. No effect when the
  // priority is the same.
  void SetPriority(BlockRef block, uint64_t fingerprint, uint8_t priority);
  // Ordered or parked. `evicted_fingerprint` as for EvictionOrder::Remove.
  void Remove(BlockRef block, std::optional<uint64_t> evicted_fingerprint);
  // The next to go over all bands; kNoBlock when nothing is ordered.
  BlockRef Coldest();
  // Whether blocks of lower priority may be ordered: false is certain, true is not.
  bool MayHaveBelow(uint8_t priority) const;
  void Park(BlockRef block);    // the block is ordered
  void Unpark(BlockRef block);  // no effect unless parked

  bool parked(BlockRef block) const;
  uint8_t priority(BlockRef block) const;  // not of an absent block

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace larder::server
