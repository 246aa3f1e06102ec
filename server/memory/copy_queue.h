// The queue and the thread of one direction of a device arena.
//
// Thread-safe. At most `copies_max` copies wait. Destruction ends those that wait with kFailed and
// joins the thread, so `run` must end within a bound of its own.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "server/base/mutex.h"
#include "server/memory/device_arena.h"

namespace larder::server {

class CopyQueue {
 public:
  // Makes one copy, on the queue's thread.
  using Run = std::function<CopyEnd(const DeviceCopy&)>;

  CopyQueue(size_t copies_max, Run run);
  ~CopyQueue();

  // False when full, or being destroyed.
  bool Push(DeviceCopy copy);
  size_t size() const;  // without the one that runs

 private:
  void Work();

  const size_t copies_max_;
  const Run run_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<DeviceCopy> copies_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace larder::server
