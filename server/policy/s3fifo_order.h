// S3-FIFO: a small FIFO for newcomers, a main FIFO for proven blocks, ghosts of what left the small
// one.
//
//   insert   a ghost goes to main, any other to small.
//   touch    counts a use, up to 3; moves nothing, so it costs one cache line.
//   coldest  while small holds at least half of the blocks, its oldest: used, it moves to main with
//            its uses cleared; else it is the next to go, and becomes a ghost. Otherwise the oldest
//            of main: used, it starts over with one use less; else it is the next to go.
//
// Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023. What we
// changed: small holds half of the blocks instead of a tenth, because the first reuse of a chat
// turn comes late; one use in small is enough to be proven; the ghosts are a fixed table, not a
// queue (ghost_table.h). Measured hit rates against LRU are in the
// README; at equal capacity the two are within a point of each other.
#pragma once

#include <memory>

#include "server/policy/eviction_order.h"
#include "server/policy/ghost_table.h"

namespace larder::server {

// `links` must outlive the order. The ghosts are shared because bands come and go with the priority
// of a key, and because one table bounds the memory of all bands together.
std::unique_ptr<EvictionOrder> MakeS3FifoOrder(OrderLinks& links,
                                               std::shared_ptr<GhostTable> ghosts);

}  // namespace larder::server
