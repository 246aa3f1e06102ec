// Who made a call: holds its leases, owns its windows.
#pragma once

#include <grpcpp/server_context.h>

#include <algorithm>
#include <string>

#include "proto/contract/limits.h"

namespace larder::server {

// The id that the client gives itself, else its address.
inline std::string ClientOf(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("larder-client");
  if (found == metadata.end()) return context.peer();
  return std::string(found->second.data(),
                     std::min<size_t>(found->second.size(), kClientIdBytesMax));
}

}  // namespace larder::server
