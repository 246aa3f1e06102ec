// An I/O queue of `depth` threads that block in pread, pwrite and fdatasync: for kernels and
// containers that refuse io_uring. See io_queue.h for the contract. A wake-up and a context switch
// per operation more than io_uring.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "server/base/mutex.h"
#include "server/ssd/io_schedule.h"

namespace larder::server {

class ThreadQueue final : public IoQueue {
 public:
  explicit ThreadQueue(const IoQueueOptions& options);
  ~ThreadQueue() override;

  void Read(uint64_t offset, std::span<std::byte> into, IoDone done) override;
  void Write(uint64_t offset, std::span<const std::byte> from, IoDone done) override;
  void Sync(IoDone done) override;
  std::string_view name() const override { return "threads"; }

 private:
  void Push(std::unique_ptr<IoOperation> operation);
  void Work();
  std::unique_ptr<IoOperation> Next();  // null: closing, and nothing is left

  const int file_;
  Mutex mutex_;
  CondVar changed_;
  IoSchedule schedule_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

}  // namespace larder::server
