// Exponential back-off with full jitter (each wait uniform between zero and a doubling bound).
// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>

#include "absl/status/status.h"

namespace larder {

// Confined to one call.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds max, uint64_t seed)
      : bound_(first), max_(max), random_(seed) {}

  std::chrono::milliseconds Next() {
    std::uniform_int_distribution<int64_t> wait(0, bound_.count());
    bound_ = std::min(bound_ * 2, max_);
    return std::chrono::milliseconds(wait(random_));
  }

 private:
  std::chrono::milliseconds bound_;
  const std::chrono::milliseconds max_;
  std::mt19937_64 random_;
};

// The server asked for it, or was not there: the same call may succeed later.
inline bool IsRetryable(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

}  // namespace larder
