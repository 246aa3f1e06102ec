// Ends operations whose time is over, whatever the device does. One thread, which ticks while
// anything waits.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace larder::server {

inline constexpr std::chrono::milliseconds kDeadlineTick{5};  // how late an answer may be
inline constexpr std::chrono::milliseconds kIdleTick{100};    // between ticks when nothing waits

// Thread-safe. `clock` must outlive it.
class DeadlineTable {
 public:
  using Id = std::pair<TimePoint, uint64_t>;

  // `each_tick` runs on the thread at every tick, at least every kIdleTick; it must not block.
  DeadlineTable(const Clock& clock, std::function<void()> each_tick);
  ~DeadlineTable();

  // `expire` runs on the thread once the deadline has passed, unless removed before; it must not
  // block; `*id` is set before it can run. O(log waiting).
  void Add(TimePoint deadline, std::function<void()> expire, Id* id);
  void Remove(const Id& id);

 private:
  void Run(const std::stop_token& stopped);

  const Clock& clock_;
  const std::function<void()> each_tick_;
  Mutex mutex_;
  CondVar changed_;
  std::map<Id, std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  std::jthread thread_;
};

}  // namespace larder::server
