// Bytes written to the devices since midnight UTC, over restarts, and whether the day's endurance
// budget allows more.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace larder::server {

// Thread-safe. `clock` must outlive it. The day is that of the wall clock, whichever way it jumps.
class WriteBudget {
 public:
  // 0: no limit.
  WriteBudget(const Clock& clock, uint64_t bytes_per_day)
      : clock_(clock), bytes_per_day_(bytes_per_day), day_(DayNow()) {}

  // What an earlier process wrote on `day`; counts if that is today. Call before Report.
  void Restore(uint64_t day, uint64_t bytes) {
    MutexLock lock(mutex_);
    if (day == day_) bytes_ += bytes;
  }

  // `total` bytes were written since the process began. An older figure, from another thread, is
  // passed over.
  void Report(uint64_t total) {
    MutexLock lock(mutex_);
    TurnPageLocked();
    if (total < total_) return;
    bytes_ += total - total_;
    total_ = total;
  }

  struct Day {
    uint64_t day = 0;  // since the Unix epoch
    uint64_t bytes = 0;
    uint64_t left = UINT64_MAX;
  };
  Day Today() {
    MutexLock lock(mutex_);
    TurnPageLocked();
    Day today = {.day = day_, .bytes = bytes_};
    if (bytes_per_day_ > 0) today.left = bytes_per_day_ - std::min(bytes_per_day_, bytes_);
    return today;
  }

 private:
  uint64_t DayNow() const {
    return static_cast<uint64_t>(
        std::chrono::floor<std::chrono::days>(clock_.WallNow()).time_since_epoch().count());
  }
  void TurnPageLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const uint64_t day = DayNow();
    if (day != day_) bytes_ = 0;
    day_ = day;
  }

  const Clock& clock_;
  const uint64_t bytes_per_day_;
  Mutex mutex_;
  uint64_t day_ ABSL_GUARDED_BY(mutex_);
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t total_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
