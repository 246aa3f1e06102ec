// Which block goes next among blocks of equal priority: a pure state machine over block references,
// no I/O, no lock, no clock. PriorityOrder (priority_order.h) puts strict priority bands above it;
// the block index decides what may go at all (pins, descendants).
#pragma once

#include <cstdint>
#include <optional>

#include "server/base/lazy_array.h"

namespace larder::server {

// Dense number of a block in the block index.
using BlockRef = uint32_t;
inline constexpr BlockRef kNoBlock = UINT32_MAX;

// A block's place in its order, 12 bytes. One array is shared by all bands of all tenants: a block
// stands in at most one queue. All zero: absent.
struct OrderLink {
  BlockRef previous;
  BlockRef next;
  uint32_t priority : 7;   // PriorityOrder's: the band
  uint32_t condition : 2;  // PriorityOrder's
  uint32_t account : 8;    // TenantOrder's: whose block it is
  uint32_t queue : 7;      // the order's; 0: in no queue
  uint32_t uses : 6;       // the order's
};
static_assert(sizeof(OrderLink) == 12);
using OrderLinks = LazyArray<OrderLink>;

// Thread-compatible. Every call is O(1) amortised and allocates nothing. Insert and InsertColdest
// take blocks that are in no queue, Touch and Remove blocks that this order holds.
class EvictionOrder {
 public:
  virtual ~EvictionOrder() = default;
  // A block that has just been stored. `fingerprint` identifies its key across evictions (ghosts).
  virtual void Insert(BlockRef block, uint64_t fingerprint) = 0;
  // A block that was next to go but could not (see PriorityOrder::Park): the next Coldest() returns
  // it.
  virtual void InsertColdest(BlockRef block) = 0;
  virtual void Touch(BlockRef block) = 0;
  // Takes the block out. `evicted_fingerprint` is set when it goes because of pressure, so that the
  // order may remember it.
  virtual void Remove(BlockRef block, std::optional<uint64_t> evicted_fingerprint) = 0;
  // The next to go, which stays in the order until removed; kNoBlock when empty. May move blocks
  // between queues.
  virtual BlockRef Coldest() = 0;
};

}  // namespace larder::server
