// An I/O queue over io_uring: one owner thread per file submits and reaps, so that the ring needs
// no lock (SINGLE_ISSUER where the kernel has it). The file and, where allowed, the caller's memory
// are registered. See io_queue.h for the contract. `done` runs on the owner thread, after what
// waited has been submitted: a checksum in it overlaps with I/O.
#pragma once

#include <deque>
#include <future>
#include <memory>
#include <thread>

#include "server/base/mutex.h"
#include "server/ssd/io_schedule.h"

namespace larder::server {

class UringQueue final : public IoQueue {
 public:
  // Null when the kernel refuses a ring: too old, forbidden, or out of locked memory.
  static std::unique_ptr<UringQueue> Open(const IoQueueOptions& options);
  ~UringQueue() override;

  void Read(uint64_t offset, std::span<std::byte> into, IoDone done) override;
  void Write(uint64_t offset, std::span<const std::byte> from, IoDone done) override;
  void Sync(IoDone done) override;
  std::string_view name() const override { return "io_uring"; }

 private:
  struct Ring;
  struct Ended {
    std::unique_ptr<IoOperation> operation;
    int error = 0;
  };
  explicit UringQueue(const IoQueueOptions& options);

  void Push(std::unique_ptr<IoOperation> operation);
  void Wake();
  void Own(std::promise<bool> opened);
  // Hands the kernel whatever may start; with `may_sleep` Push wakes the owner from here on. True when the queue is
  // closing and nothing is left.
  bool SubmitWaiting(Ring& ring, bool may_sleep);
  void Reap(Ring& ring, std::deque<Ended>& ended);

  const IoQueueOptions options_;
  const int wake_;  // eventfd that the ring reads
  Mutex mutex_;
  IoSchedule schedule_ ABSL_GUARDED_BY(mutex_);
  bool sleeping_ ABSL_GUARDED_BY(mutex_) =
      false;  // the owner waits in the kernel and could start more
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread owner_;
};

}  // namespace larder::server
