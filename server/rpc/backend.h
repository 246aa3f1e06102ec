// What every handler needs: the store and the services around it. Plain references; the server owns
// them all.
#pragma once

#include <string>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/config.h"
#include "server/rpc/stream_gate.h"
#include "server/store/store.h"
#include "server/transport/transport_pool.h"
#include "server/transport/ucx_listener.h"
#include "server/transport/window_table.h"

namespace larder::server {

struct Backend {
  const Config& config;
  Store& store;
  StreamGate& gate;
  const Clock& clock;
  Metrics& metrics;
  WindowTable& windows;
  TransportPool& transport;
  std::string instance_id;  // random per start
  TimePoint start;
  std::string shm_socket;      // where windows of shared memory are opened; empty: nowhere
  UcxListener* ucx = nullptr;  // where windows over UCX are opened; null: nowhere
};

}  // namespace larder::server
