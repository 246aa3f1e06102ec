// Tasks for whoever runs a worker, and sleeps in epoll: the only way in from other threads.
//
// Bounded by its callers (a task per transfer that they admitted). Thread-safe; shared by the thread and by
// whoever may outlive it.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

namespace larder::transport {

class UcxMailbox {
 public:
  UcxMailbox();
  ~UcxMailbox();
  UcxMailbox(const UcxMailbox&) = delete;
  UcxMailbox& operator=(const UcxMailbox&) = delete;

  // False, and the task is dropped, after Shut.
  bool Post(std::function<void()> task);
  // Runs what is posted, on the caller's thread. Whether there was anything.
  bool Run();
  // Who runs it looks by himself, so Post wakes nobody, from Wake until Rest is true: it is not when something is posted.
  void Wake();
  bool Rest();
  // Wakes who sleeps.
  void Ring();
  // Drops what is posted and takes no more.
  void Shut();

  // To be watched edge-triggered: written, never read, when something is posted. -1 when the system gave none.
  int fd() const { return fd_; }

  // Transfers that have a deadline: while there are any, the thread wakes up for them by itself.
  std::atomic<uint64_t> timed{0};
  // All transfers.
  std::atomic<uint64_t> open{0};
  // The thread's own: a connection has begun to close, so it looks at them all.
  bool closes = false;
  // The thread's own: bytes of a block have come, or have been asked for.
  bool received = false;
  // The thread's own: what a callback of UCX leaves to be done when UCX has returned, before the thread sleeps. RunSoon
  // does what is there when it is called.
  std::vector<std::function<void()>> soon;
  void RunSoon();

 private:
  const int fd_;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  bool awake_ = false;
  bool shut_ = false;
};

}  // namespace larder::transport
