// What a get over a window makes of the server's answer. Internal to the client library.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "client/channel.h"
#include "larder/v1/window.pb.h"

namespace larder {

// What an answered get may still have on the way: the last pieces, which UCX has taken from the server. Within the
// call's deadline, or this much beyond it.
inline constexpr auto kArrivalTimeout = std::chrono::seconds(2);
inline constexpr auto kArrivalGrace = std::chrono::milliseconds(20);

// The server answered: no transfer of the call touches the window any more. Other codes also come from gRPC
// itself.
inline bool IsAnswer(const absl::Status& status) {
  return status.ok() || status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kInvalidArgument;
}

inline std::chrono::steady_clock::time_point ArrivalDeadline(SystemTime deadline) {
  const auto left = deadline - std::chrono::system_clock::now();
  return std::chrono::steady_clock::now() +
         std::clamp<std::chrono::nanoseconds>(left, kArrivalGrace, kArrivalTimeout);
}

// Bytes of each block that the server says it has sent.
inline std::vector<uint64_t> SentBytes(const v1::GetToWindowResponse& response) {
  std::vector<uint64_t> frame_bytes;
  for (const v1::WindowGetResult& answer : response.results()) {
    frame_bytes.push_back(answer.outcome() == v1::GET_OUTCOME_HIT ? answer.frame_bytes() : 0);
  }
  return frame_bytes;
}

}  // namespace larder
