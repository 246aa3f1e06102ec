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
// queue (ghost_table.h). Hit rate replaying the Mooncake conversation trace, ghosts as many as
// blocks:
//   blocks    lru       half      a tenth
//    5,000    10.8 %    13.3 %    14.1 %
//   10,000    21.1 %    21.5 %    20.3 %
//   50,000    35.5 %    34.8 %    34.3 %
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
