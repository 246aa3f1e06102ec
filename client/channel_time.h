// The clock of deadlines in the client: gRPC's.
#pragma once

#include <chrono>

namespace larder {

using SystemTime = std::chrono::system_clock::time_point;

}  // namespace larder
