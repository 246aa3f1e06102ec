// LFU with dynamic ageing: the block with the smallest key goes first, where a block's key is its
// uses plus the age of the order at its last use, and the age is the key of the last eviction.
//
//   insert   one use; key = age + 1.
//   touch    one use more, up to 63; key = age + uses.
//   coldest  the smallest key; among equal ones the block that has had it for longest.
//
// So a block that was used often outlives newcomers, but only for as many ages as it has uses: a
// former favourite goes in the end. With the cap, every key is within 64 of the age, so the keys
// are a ring of 64 queues and the smallest is found in one machine word.
//
// Source: Arlitt et al., "Evaluating content management techniques for Web proxy caches", 2000
// (LFU-DA). What we changed: uses stop counting at 63, for the ring; a block that moves between
// priorities or is evicted starts again with one use, as the paper's does after eviction.
// Measured hit rates against LRU are in the README.
#pragma once

#include <memory>

#include "server/policy/eviction_order.h"

namespace larder::server {

// `links` must outlive the order. About 2 KiB beside the links.
std::unique_ptr<EvictionOrder> MakeLfudaOrder(OrderLinks& links);

}  // namespace larder::server
