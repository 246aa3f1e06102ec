// The threads that move blocks between slabs and windows, so that RPC threads never copy them. A fixed
// number. Windows take turns, a task each; the tasks of one window run in the order they came. A call has one task
// queued at a time and queues up again after each block, so windows share the threads block by block, whatever the
// number and the sizes of their calls. A client has one window, or windows_per_client_max at most.
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

#include "absl/container/flat_hash_map.h"

namespace larder::server {

class TransportPool {
 public:
  explicit TransportPool(uint32_t threads);
  // Runs what is queued first.
  ~TransportPool();

  // `owner` only tells windows apart.
  void Post(const void* owner, std::function<void()> task);
  // Whether somebody waits: then a task that could go on should queue up again.
  bool contended() const { return queued_.load(std::memory_order_relaxed) > 0; }
  uint64_t queued() const { return queued_.load(std::memory_order_relaxed); }

 private:
  void Run();

  std::mutex mutex_;  // plain: the condition variable needs it
  std::condition_variable wake_;
  absl::flat_hash_map<const void*, std::deque<std::function<void()>>> tasks_;  // by owner; none is empty
  std::deque<const void*> turns_;                                             // owners, the next first
  std::atomic<uint64_t> queued_{0};
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace larder::server
