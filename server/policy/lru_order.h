// Least recently used first. Source: folklore; one queue through the shared links, no use of
// ghosts.
#pragma once

#include <memory>

#include "server/policy/eviction_order.h"

namespace larder::server {

// `links` must outlive the order.
std::unique_ptr<EvictionOrder> MakeLruOrder(OrderLinks& links);

}  // namespace larder::server
