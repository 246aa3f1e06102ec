// The threads that move blocks between slabs and windows, so that RPC threads never copy them. A fixed
// number; tasks run in the order they came. A call has one task queued at a time and goes to the end of the
// queue after each block, so calls share the threads block by block, whatever their sizes.
//
// The queue is bounded by its callers: one entry per admitted call. Thread-safe. Asleep without work.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace larder::server {

class TransportPool {
 public:
  explicit TransportPool(uint32_t threads);
  // Runs what is queued first.
  ~TransportPool();

  void Post(std::function<void()> task);
  // Whether somebody waits: then a task that could go on should queue up again.
  bool contended() const { return queued_.load(std::memory_order_relaxed) > 0; }
  uint64_t queued() const { return queued_.load(std::memory_order_relaxed); }

 private:
  void Run();

  std::mutex mutex_;  // plain: the condition variable needs it
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::atomic<uint64_t> queued_{0};
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace larder::server
