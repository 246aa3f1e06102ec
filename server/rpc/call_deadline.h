// A call's deadline on the store's clock.
#pragma once

#include <grpcpp/server_context.h>

#include <chrono>

#include "server/base/clock.h"

namespace larder::server {

inline TimePoint DeadlineOf(const grpc::CallbackServerContext& context, const Clock& clock) {
  const auto left = context.deadline() - std::chrono::system_clock::now();
  constexpr auto kFarAway = std::chrono::hours(24);  // calls without one name the end of time
  if (left > kFarAway) return TimePoint::max();
  return clock.Now() + std::chrono::duration_cast<Duration>(left);
}

}  // namespace larder::server
