#include "client/call_waiter.h"

#include <utility>

namespace larder {

void CallWaiter::Offer(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  work_ = std::move(work);
  changed_.notify_one();
}

void CallWaiter::End() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_one();
}

void CallWaiter::WorkUntilEnd() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ended_ || work_ != nullptr; });
    if (work_ == nullptr) return;
    const auto work = std::exchange(work_, nullptr);
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace larder
