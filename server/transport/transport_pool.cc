#include "server/transport/transport_pool.h"

#include <utility>

namespace larder::server {

TransportPool::TransportPool(uint32_t threads) {
  for (uint32_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

TransportPool::~TransportPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void TransportPool::Post(const void* owner, std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    auto& tasks = tasks_[owner];
    if (tasks.empty()) turns_.push_back(owner);
    tasks.push_back(std::move(task));
    queued_.fetch_add(1, std::memory_order_relaxed);
  }
  wake_.notify_one();
}

void TransportPool::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !turns_.empty(); });
    if (turns_.empty()) return;
    const void* const owner = turns_.front();
    turns_.pop_front();
    const auto found = tasks_.find(owner);
    const auto task = std::move(found->second.front());
    found->second.pop_front();
    if (found->second.empty()) {
      tasks_.erase(found);
    } else {
      turns_.push_back(owner);
    }
    queued_.fetch_sub(1, std::memory_order_relaxed);
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace larder::server
