// Addresses of UCX listeners as text: IPv4:PORT.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "absl/status/statusor.h"

namespace larder::transport {

// INVALID_ARGUMENT when it is none.
absl::StatusOr<sockaddr_in> ParseAddress(const std::string& text);
std::string AddressText(const sockaddr_storage& storage);

}  // namespace larder::transport
