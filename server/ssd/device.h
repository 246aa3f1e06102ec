// One device of the SSD tier: its directory, its open segments file, its I/O queue, and whether it
// works. A device that fails or stalls goes offline: nobody sends it anything but a probe, which
// brings it back, after opening the file again where that is needed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/ssd/io_queue.h"
#include "server/ssd/segment_format.h"
#include "server/ssd/ssd_directory.h"

namespace larder::server {

// Reads that fail in a row before the whole device counts as failed; one alone may be a bad sector.
inline constexpr uint32_t kReadErrorsInRowMax = 3;
// One operation may be in flight for so many stall limits while others end.
inline constexpr int kStuckFactor = 8;

// Thread-safe. `clock` must outlive it. The destructor waits for what is in flight.
class Device {
 public:
  struct Options {
    uint32_t index = 0;
    uint64_t segment_bytes = 0;
    IoQueueOptions queue;  // without the file
    std::function<std::unique_ptr<IoQueue>(const IoQueueOptions&)> make_queue;
    std::chrono::milliseconds stall_limit{2000};
    std::chrono::milliseconds probe_interval{500};
  };
  static absl::StatusOr<std::unique_ptr<Device>> Open(std::unique_ptr<SsdDirectory> directory,
                                                      Options options, const Clock& clock);
  ~Device();

  // As IoQueue, with positions in a segment. They are sent whatever online() says.
  void Read(uint32_t segment, uint64_t offset, std::span<std::byte> into, IoDone done);
  void Write(uint32_t segment, uint64_t offset, std::span<const std::byte> from, IoDone done);
  void Sync(IoDone done);
  // Blocks until the read has ended.
  int ReadNow(uint32_t segment, uint64_t offset, std::span<std::byte> into);

  bool online() const { return online_.load(std::memory_order_acquire); }
  uint64_t errors() const { return errors_.load(std::memory_order_relaxed); }
  // Takes the device offline when nothing has ended for stall_limit though something is in flight, or one operation
  // has been for far longer. Cheap.
  void CheckStall();
  uint64_t probe_bytes_written() const { return probe_bytes_.load(std::memory_order_relaxed); }

  // Blocking calls on the file; see SsdDirectory. Reserve: 0 or an errno.
  uint32_t CountSegments() const;
  int Reserve(uint32_t count);
  absl::Status Truncate(uint32_t count);

  uint32_t index() const { return options_.index; }
  const SsdDirectory& directory() const { return *directory_; }
  std::string_view queue_name() const;

 private:
  enum class Kind : uint8_t { kRead, kChange };
  struct OpenQueue {
    OpenFile file;
    std::unique_ptr<IoQueue> queue;  // after the file: it goes first
  };
  struct Probe;

  Device(std::unique_ptr<SsdDirectory> directory, Options options, const Clock& clock);
  std::shared_ptr<OpenQueue> MakeQueue(OpenFile file) const;
  std::shared_ptr<OpenQueue> CurrentQueue() const;
  uint64_t PositionOf(uint32_t segment, uint64_t offset) const {
    return kSegmentsBegin + IndexOf(segment) * options_.segment_bytes + offset;
  }
  // `read`: what a read fills.
  IoDone Track(Kind kind, std::span<std::byte> read, IoDone done);
  void Ended(uint64_t id, Kind kind, int error);
  void GoOffline();
  void Prober(const std::stop_token& stopped);
  // One attempt; blocks until it has ended or the thread is to stop. True: the device works.
  bool TryProbe(const std::stop_token& stopped);
  void ReopenFile();
  void DropRetired();

  const std::unique_ptr<SsdDirectory> directory_;
  const Options options_;
  const Clock& clock_;
  std::atomic<bool> online_{true};
  std::atomic<uint32_t> read_errors_in_row_{0};
  std::atomic<uint64_t> errors_{0};
  std::atomic<uint64_t> probe_bytes_{0};
  mutable Mutex mutex_;
  CondVar changed_;
  // Shared for the length of one submission, so that it can be replaced meanwhile. A queue dies on the
  // prober's thread or in the destructor, never on a thread of its own.
  std::shared_ptr<OpenQueue> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<OpenQueue>> retired_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, TimePoint> in_flight_ ABSL_GUARDED_BY(mutex_);  // id -> begin; ids grow
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 0;
  TimePoint last_end_ ABSL_GUARDED_BY(mutex_) = TimePoint::min();
  std::jthread prober_;
};

}  // namespace larder::server
