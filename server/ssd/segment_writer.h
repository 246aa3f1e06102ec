// Packs appended records into write buffers and writes those into each device's open segment. One
// thread. A buffer is written when it is full, or when a record in it has waited for long enough or
// is urgent and nothing else is queued for that segment; then it is padded to kIoAlignment and the next one begins
// behind it: bytes that are on the device are never written again while their segment is in use.
//
// Each device has two open segments: one for new records, one for those that reclaim moves. What was
// kept once is likely to be kept again: apart from the new it is moved seldom, mixed with it often.
// A segment is one byte stream, cut into buffers anywhere. Several devices take turns, buffer by
// buffer. Moves go first and may use the last free segment, which makes room again.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/ssd/append_operation.h"
#include "server/ssd/device.h"
#include "server/ssd/segment_table.h"
#include "server/ssd/ssd_counters.h"
#include "server/ssd/staging_pool.h"

namespace larder::server {

// Thread-safe. What it is made of must outlive it. The destructor writes what is queued.
class SegmentWriter {
 public:
  struct Parts {
    std::span<const std::unique_ptr<Device>> devices;
    SegmentTable& segments;
    StagingPool& buffers;
    SsdCounters& counters;
    const Clock& clock;
    std::array<uint8_t, 16> tier;
    uint64_t seed = 0;
  };
  struct Options {
    uint64_t buffer_bytes = 1 << 20;
    uint32_t buffers_per_log = 8;
    uint64_t queue_bytes = 64ull << 20;
    std::chrono::milliseconds commit_interval{100};
    uint64_t first_sequence = 1;
  };
  using Written = std::function<void(std::shared_ptr<AppendOperation>)>;

  // `written` is called once for every operation that was placed, when its bytes are on the device
  // (not yet synced) or have failed; on a thread of a device.
  SegmentWriter(const Parts& parts, const Options& options, Written written);
  ~SegmentWriter();

  // RESOURCE_EXHAUSTED: the queue is full. Moves are not bounded: their bytes are staging memory.
  absl::Status Push(std::shared_ptr<AppendOperation> operation);
  // What is queued now is written without waiting for full buffers.
  void Flush();
  // The same of moves alone.
  void FlushMoves();
  uint64_t queued_bytes() const;
  static uint64_t BufferBytes(const Options& options, size_t devices) {
    return options.buffer_bytes * options.buffers_per_log * 2 * devices;
  }

 private:
  using Operation = std::shared_ptr<AppendOperation>;
  struct Buffer {
    std::span<std::byte> memory;
    uint64_t offset = 0;  // within the segment
    uint64_t fill = 0;
    std::vector<Operation> operations;  // with a piece in it
    TimePoint oldest;
    bool urgent = false;
  };
  // An open segment of a device. Confined to the writer's thread, but for `broken`.
  struct Log {
    Device* device = nullptr;
    SegmentTable::Opened segment;  // generation 0: none is open
    uint64_t position = 0;         // where the next byte goes, within the segment
    std::unique_ptr<Buffer> buffer;
    std::shared_ptr<std::atomic<bool>> broken;  // a write to the open segment failed
  };

  void Run();
  Operation Next();  // null: closing, and the queue is empty
  bool FlushIsDue(const Log& log) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FlushDueLogs();
  // False: no segment has room now.
  bool Place(const Operation& operation);
  Log* ChooseLog(uint64_t record_bytes, bool move, bool* offline);
  bool Prepare(Log& log, uint64_t record_bytes, bool move);
  void OpenSegment(Log& log, const SegmentTable::Opened& opened);
  void CloseSegment(Log& log);
  bool Copy(Log& log, const Operation& operation);
  // A buffer with room, or false when the device went offline meanwhile.
  bool EnsureBuffer(Log& log);
  void Submit(Log& log);

  const Parts parts_;
  const Options options_;
  const Written written_;
  std::vector<Log> logs_;  // two of each device: new records, moved ones
  size_t turn_ = 0;
  uint64_t sequence_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Operation> moves_ ABSL_GUARDED_BY(mutex_);
  std::deque<Operation> appends_ ABSL_GUARDED_BY(mutex_);
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<uint32_t> buffers_out_ ABSL_GUARDED_BY(mutex_);  // per log: being filled or written
  bool flush_ ABSL_GUARDED_BY(mutex_) = false;
  bool flush_moves_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_room_ ABSL_GUARDED_BY(mutex_) = false;  // appends wait for a moment
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace larder::server
