// The clock of deadlines in the client: gRPC's.
#pragma once

#include <chrono>

namespace larder {

using SystemTime = std::chrono::system_clock::time_point;

// The same moment by the clock that nobody sets.
inline std::chrono::steady_clock::time_point SteadyOf(SystemTime time) {
  return std::chrono::steady_clock::now() + (time - std::chrono::system_clock::now());
}

}  // namespace larder
