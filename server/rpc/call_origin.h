// Where a call came from and how it ends, whether gRPC brought it or a window's own connection.
#pragma once

#include <grpcpp/support/status.h>

#include <functional>
#include <string>

#include "server/base/clock.h"

namespace larder::server {

struct CallOrigin {
  std::string client;  // as ClientOf
  TimePoint deadline;
};

using CallDone = std::function<void(const grpc::Status&)>;

}  // namespace larder::server
