// The thread that waits for a call, and meanwhile does its work. Internal to the client library.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

namespace larder {

// Thread-safe.
class CallWaiter {
 public:
  // To be done on the waiting thread, soon.
  void Offer(std::function<void()> work);
  // The call has ended.
  void End();
  // Does what is offered until the end.
  void WorkUntilEnd();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;
  bool ended_ = false;
};

}  // namespace larder
