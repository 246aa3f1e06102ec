// Asynchronous reads and writes of one open file, behind one narrow interface: io_uring
// (uring_queue.h), a pool of threads (thread_queue.h), and a fake that injects faults.
//
// Every accepted call ends in exactly one call of its `done`, with 0 or the errno of the failure; a
// short transfer is continued, and one that meets the end of the file ends with EIO. The memory
// belongs to the queue until `done` is called: a caller that gives up earlier must keep it alive.
// No order holds between calls in flight; a Sync covers what had ended before it was called. Reads
// overtake writes that wait, so that a burst of writes does not delay them by more than is in flight.
//
// Thread-safe. `done` runs on a thread of the queue: it may call the queue, it must not block.
// The destructor waits for what is in flight. Offsets, sizes and addresses must be aligned as the
// file's mode asks (O_DIRECT: kIoAlignment). Bounds: at most `depth` operations are in the kernel;
// what waits is bounded by the callers' memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace larder::server {

inline constexpr uint64_t kIoAlignment = 4096;  // physical block of nearly every SSD

using IoDone = std::function<void(int error)>;  // 0 or an errno

class IoQueue {
 public:
  virtual ~IoQueue() = default;
  virtual void Read(uint64_t offset, std::span<std::byte> into, IoDone done) = 0;
  virtual void Write(uint64_t offset, std::span<const std::byte> from, IoDone done) = 0;
  // Data and what is needed to read it back (fdatasync).
  virtual void Sync(IoDone done) = 0;
  virtual std::string_view name() const = 0;  // static text, for metrics
};

struct IoQueueOptions {
  int file = -1;       // must outlive the queue; not owned
  uint32_t depth = 8;  // 1 to 64
  // Memory that most transfers use: registered with the kernel where it allows, at most 1 GiB.
  std::span<std::byte> registered = {};
  bool io_uring = true;
};

// io_uring when it is asked for and the kernel grants it, otherwise the thread pool. Never null.
std::unique_ptr<IoQueue> OpenIoQueue(const IoQueueOptions& options);

}  // namespace larder::server
