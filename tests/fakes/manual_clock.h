// A clock that tests move by hand.
#pragma once

#include <atomic>

#include "server/base/clock.h"

namespace larder::server {

// Thread-safe.
class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(Duration(now_.load())); }
  // Both times move together; wall time begins at 2026-01-01 01:00 UTC.
  WallTime WallNow() const override {
    return WallTime(std::chrono::seconds(1'767'225'600) + std::chrono::nanoseconds(now_.load()));
  }
  void Advance(Duration by) { now_.fetch_add(by.count()); }

 private:
  std::atomic<Duration::rep> now_{Duration(std::chrono::hours(1)).count()};
};

}  // namespace larder::server
