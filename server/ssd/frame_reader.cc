#include "server/ssd/frame_reader.h"

#include <atomic>
#include <future>
#include <utility>

#include "proto/contract/errors.h"
#include "server/base/check.h"
#include "server/base/planted_bug.h"

namespace larder::server {

absl::Status VerifyRecord(std::span<const std::byte> record, std::string_view key,
                          const SsdLocation& location, uint64_t seed, SsdRecord* found) {
  if (found == nullptr && PlantedBug("ssd.checksum_skipped")) return absl::OkStatus();
  const auto stored = DecodeRecord(record, seed);
  if (!stored.has_value()) return DamagedRecord("its record header does not verify");
  if (stored->entry.record.key != key) return DamagedRecord("another block lies in its place");
  if (stored->entry.location != location) {
    return DamagedRecord("its record belongs to another place or an earlier time");
  }
  const std::span<const std::byte> frame =
      record.subspan(sizeof(RecordHeader), location.frame_bytes);
  FrameView view;
  if (const FrameFault fault = FrameView::Parse(frame, &view); fault != FrameFault::kNone) {
    return DamagedRecord(FrameFaultText(fault));
  }
  if (view.header().frame_bytes != frame.size() ||
      view.header().root != stored->entry.record.frame_root) {
    return DamagedRecord("another frame lies in its place");
  }
  FrameVerifier verifier(view);
  verifier.Update(frame.subspan(view.header().header_bytes));
  if (const FrameFault fault = verifier.Finish(); fault != FrameFault::kNone) {
    return DamagedRecord(FrameFaultText(fault));
  }
  if (found != nullptr) *found = stored->entry.record;
  return absl::OkStatus();
}

struct FrameReader::Operation {
  std::string key;
  SsdLocation location;
  std::atomic<bool> ended{false};
  Done done;
  DeadlineTable::Id deadline;
  std::span<std::byte> memory;  // while the kernel or the verification uses it
  uint64_t skip = 0;            // bytes before the record

  // Bytes to read: the record, rounded outward.
  uint64_t begin() const { return location.offset * kSsdUnitBytes / kIoAlignment * kIoAlignment; }
  uint64_t bytes() const {
    const uint64_t end = location.offset * kSsdUnitBytes + RecordBytes(location.frame_bytes);
    return AlignUp(end, kIoAlignment) - begin();
  }
};

FrameReader::~FrameReader() {
  Close();
  MutexLock lock(mutex_);
  while (memory_out_ > 0) idle_.Wait(mutex_);
}

void FrameReader::Read(const SsdRead& read, Done done) {
  Add(parts_.counters.reads);
  if (!parts_.segments.IsCurrent(read.location)) {
    return done(NotFound("block on SSD", "its segment was reclaimed"));
  }
  if (!parts_.devices[DeviceOf(read.location.segment)]->online()) {
    return done(StorageFailed("reading a block", "its device is offline"));
  }
  auto operation = std::make_shared<Operation>();
  operation->key = read.key;
  operation->location = read.location;
  operation->done = std::move(done);
  if (operation->bytes() > parts_.staging.memory().size()) {
    return operation->done(OverLimit("bytes of a block read from SSD", operation->bytes(),
                                     parts_.staging.memory().size()));
  }
  Add(parts_.counters.reads_in_flight);
  const auto expire = [this, operation] {
    Add(parts_.counters.over_deadline);
    End(operation, DeadlineSpent("reading a block from SSD"));
  };
  parts_.deadlines.Add(read.deadline, expire, &operation->deadline);
  bool refused = false;
  {
    MutexLock lock(mutex_);
    // In order: a large read must not starve behind small ones that always find room.
    if (closed_ || waiting_.size() >= kReadsWaitingMax) {
      refused = true;
    } else if (!waiting_.empty()) {
      waiting_.push_back(operation);
      return;
    }
  }
  if (refused) {
    return End(operation,
               OverLimit("reads that wait for memory", kReadsWaitingMax, kReadsWaitingMax));
  }
  const absl::Status status = Start(operation);
  if (status.ok()) return;
  if (absl::IsResourceExhausted(status)) {
    MutexLock lock(mutex_);
    waiting_.push_back(operation);
  } else {
    End(operation, status);
  }
  StartWaiting();  // memory may have come back meanwhile
}

absl::Status FrameReader::Start(const Shared& operation) {
  operation->memory = parts_.staging.Take(operation->bytes());
  if (operation->memory.empty()) return OverLimit("bytes of reads", 0, 0);
  CountOut(1);
  if (!parts_.segments.Pin(operation->location)) {
    parts_.staging.Give(std::exchange(operation->memory, {}));
    CountOut(-1);
    return NotFound("block on SSD", "its segment was reclaimed");
  }
  operation->skip = operation->location.offset * kSsdUnitBytes - operation->begin();
  Device& device = *parts_.devices[DeviceOf(operation->location.segment)];
  device.Read(operation->location.segment, operation->begin(),
              operation->memory.first(operation->bytes()),
              [this, operation](int error) { Arrived(operation, error); });
  return absl::OkStatus();
}

void FrameReader::Arrived(const Shared& operation, int error) {
  parts_.segments.Unpin(operation->location.segment);
  const std::span<std::byte> memory = std::exchange(operation->memory, {});
  if (operation->ended.load(std::memory_order_acquire)) return Release(memory);
  if (error != 0) {
    Add(parts_.counters.read_errors);
    Release(memory);
    return End(operation, StorageFailed("reading a block", "the device reports an error"));
  }
  const std::span<std::byte> record =
      memory.subspan(operation->skip, RecordBytes(operation->location.frame_bytes));
  const absl::Status verified =
      VerifyRecord(record, operation->key, operation->location, parts_.seed);
  if (!verified.ok()) {
    Add(parts_.counters.damaged_frames);
    Release(memory);
    return End(operation, verified);
  }
  Add(parts_.counters.bytes_read, operation->bytes());
  // If nobody wants it any more the frame dies in End and gives the memory back.
  End(operation, SsdFrame(record.subspan(sizeof(RecordHeader), operation->location.frame_bytes),
                          [this, memory] { Release(memory); }));
}

void FrameReader::Release(std::span<std::byte> memory) {
  parts_.staging.Give(memory);
  StartWaiting();
  CountOut(-1);  // last: the destructor waits for it
}

void FrameReader::CountOut(int by) {
  MutexLock lock(mutex_);
  memory_out_ += by;
  if (memory_out_ == 0) idle_.NotifyAll();
}

void FrameReader::StartWaiting() {
  while (true) {
    Shared next;
    {
      MutexLock lock(mutex_);
      while (!waiting_.empty() && waiting_.front()->ended.load(std::memory_order_acquire)) {
        waiting_.pop_front();
      }
      if (waiting_.empty()) return;
      next = waiting_.front();
      waiting_.pop_front();
    }
    const absl::Status status = Start(next);
    if (status.ok()) continue;
    if (!absl::IsResourceExhausted(status)) {
      End(next, status);
      continue;
    }
    MutexLock lock(mutex_);
    waiting_.push_front(std::move(next));
    return;
  }
}

void FrameReader::End(const Shared& operation, absl::StatusOr<SsdFrame> result) {
  if (operation->ended.exchange(true, std::memory_order_acq_rel)) return;
  parts_.deadlines.Remove(operation->deadline);
  Subtract(parts_.counters.reads_in_flight);
  std::exchange(operation->done, nullptr)(std::move(result));
}

absl::StatusOr<SsdFrame> FrameReader::ReadNow(const SsdRead& read) {
  auto result = std::make_shared<std::promise<absl::StatusOr<SsdFrame>>>();
  std::future<absl::StatusOr<SsdFrame>> future = result->get_future();
  Read(read, [result](absl::StatusOr<SsdFrame> frame) { result->set_value(std::move(frame)); });
  return future.get();
}

void FrameReader::Close() {
  std::deque<Shared> waiting;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    waiting.swap(waiting_);
  }
  for (const Shared& operation : waiting) {
    End(operation, StorageFailed("reading a block", "the SSD tier is closing"));
  }
}

}  // namespace larder::server
