#include "server/ssd/segment_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proto/contract/errors.h"
#include "server/base/check.h"
#include "server/base/fault_point.h"
#include "server/base/planted_bug.h"

namespace larder::server {
namespace {

// How long appends wait before they ask again for a segment, or for a buffer of a device.
constexpr std::chrono::milliseconds kRetryInterval{2};

}  // namespace

SegmentWriter::SegmentWriter(const Parts& parts, const Options& options, Written written)
    : parts_(parts),
      options_(options),
      written_(std::move(written)),
      sequence_(options.first_sequence) {
  for (const std::unique_ptr<Device>& device : parts_.devices) {
    for (int i = 0; device != nullptr && i < 2; ++i) logs_.push_back({.device = device.get()});
  }
  {
    MutexLock lock(mutex_);
    buffers_out_.assign(logs_.size(), 0);
  }
  thread_ = std::jthread([this] { Run(); });
}

SegmentWriter::~SegmentWriter() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
  // The buffers' memory and the callbacks of their writes are ours.
  MutexLock lock(mutex_);
  while (std::any_of(buffers_out_.begin(), buffers_out_.end(), [](uint32_t n) { return n > 0; })) {
    changed_.Wait(mutex_);
  }
}

absl::Status SegmentWriter::Push(Operation operation) {
  {
    MutexLock lock(mutex_);
    if (operation->moved_from.has_value()) {
      moves_.push_back(std::move(operation));
    } else {
      const uint64_t bytes = operation->frame_bytes;
      if (queued_bytes_ > 0 && queued_bytes_ + bytes > options_.queue_bytes) {
        return OverLimit("bytes that wait to be written to SSD", queued_bytes_,
                         options_.queue_bytes);
      }
      queued_bytes_ += bytes;
      appends_.push_back(std::move(operation));
    }
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

void SegmentWriter::Flush() {
  {
    MutexLock lock(mutex_);
    flush_ = true;
  }
  changed_.NotifyAll();
}

void SegmentWriter::FlushMoves() {
  {
    MutexLock lock(mutex_);
    flush_moves_ = true;
  }
  changed_.NotifyAll();
}

uint64_t SegmentWriter::queued_bytes() const {
  MutexLock lock(mutex_);
  return queued_bytes_;
}

void SegmentWriter::Run() {
  while (Operation operation = Next()) {
    if (!operation->ended() && !Place(operation)) {
      MutexLock lock(mutex_);
      no_room_ = true;
      if (!closing_) {
        (operation->moved_from.has_value() ? moves_ : appends_).push_front(operation);
        if (!operation->moved_from.has_value()) queued_bytes_ += operation->frame_bytes;
        continue;
      }
    }
    if (operation->Release()) written_(operation);  // never placed, or all its bytes are written
  }
  for (Log& log : logs_) {
    if (log.segment.generation != 0) CloseSegment(log);
  }
}

SegmentWriter::Operation SegmentWriter::Next() {
  while (true) {
    FlushDueLogs();
    MutexLock lock(mutex_);
    // What waits for room tries again with every wake-up, at the latest after kRetryInterval.
    if (no_room_) changed_.WaitFor(mutex_, kRetryInterval);
    no_room_ = false;
    for (std::deque<Operation>* queue : {&moves_, &appends_}) {
      if (queue->empty()) continue;
      Operation operation = std::move(queue->front());
      queue->pop_front();
      if (queue == &appends_) queued_bytes_ -= operation->frame_bytes;
      return operation;
    }
    if (closing_) return nullptr;
    const bool due = std::any_of(logs_.begin(), logs_.end(), [this](const Log& log) {
      mutex_.AssertHeld();
      return FlushIsDue(log);
    });
    if (due) continue;
    flush_ = false;
    const bool filling = std::any_of(logs_.begin(), logs_.end(), [](const Log& log) {
      return log.buffer != nullptr && !log.buffer->operations.empty();
    });
    if (filling) {
      changed_.WaitFor(mutex_, std::max(options_.commit_interval / 4, kRetryInterval));
    } else {
      changed_.Wait(mutex_);
    }
  }
}

bool SegmentWriter::FlushIsDue(const Log& log) const {
  if (log.buffer == nullptr || log.buffer->operations.empty()) return false;
  const bool of_moves = (&log - logs_.data()) % 2 == 1;
  const bool idle = of_moves ? moves_.empty() : appends_.empty();
  if (idle && (flush_ || log.buffer->urgent || (of_moves && flush_moves_))) return true;
  return parts_.clock.Now() - log.buffer->oldest >= options_.commit_interval;
}

void SegmentWriter::FlushDueLogs() {
  for (Log& log : logs_) {
    bool due = false;
    {
      MutexLock lock(mutex_);
      due = FlushIsDue(log);
    }
    if (due) Submit(log);
  }
  MutexLock lock(mutex_);
  if (moves_.empty()) flush_moves_ = false;
}

bool SegmentWriter::Place(const Operation& operation) {
  FaultAt("ssd.place");
  const uint64_t record_bytes = RecordBytes(operation->frame_bytes);
  bool offline = false;
  Log* log = ChooseLog(record_bytes, operation->moved_from.has_value(), &offline);
  if (log == nullptr && offline) {
    operation->End(StorageFailed("writing a block", "no device of the SSD tier works"));
    return true;
  }
  if (log == nullptr) return false;
  operation->entry.location = {.segment = log->segment.segment,
                               .generation = log->segment.generation,
                               .offset = static_cast<uint32_t>(log->position / kSsdUnitBytes),
                               .frame_bytes = static_cast<uint32_t>(operation->frame_bytes)};
  operation->sequence = sequence_++;
  parts_.segments.BeginAppend(log->segment.segment);
  Add(operation->moved_from.has_value() ? parts_.counters.moved_bytes_written
                                        : parts_.counters.payload_bytes_written,
      operation->frame_bytes);
  Add(parts_.counters.overhead_bytes_written, record_bytes - operation->frame_bytes);
  if (PlantedBug("ssd.ack_before_write")) operation->End(operation->entry.location);
  if (!Copy(*log, operation)) operation->Fail();
  return true;
}

SegmentWriter::Log* SegmentWriter::ChooseLog(uint64_t record_bytes, bool move, bool* offline) {
  *offline = true;
  const size_t devices = logs_.size() / 2;
  for (size_t i = 0; i < devices; ++i) {
    Log& log = logs_[turn_ % devices * 2 + (move ? 1 : 0)];
    if (log.device->online()) {
      *offline = false;
      if (Prepare(log, record_bytes, move)) return &log;
    } else if (log.segment.generation != 0) {
      CloseSegment(log);  // what was in its buffer fails or comes through late; a new one is begun
    }
    ++turn_;
  }
  return nullptr;
}

bool SegmentWriter::Prepare(Log& log, uint64_t record_bytes, bool move) {
  const bool open = log.segment.generation != 0;
  if (open && !*log.broken && log.position + record_bytes <= parts_.segments.segment_bytes()) {
    return true;
  }
  if (open) CloseSegment(log);
  const auto opened = parts_.segments.Open(log.device->index(), move);
  if (!opened.has_value()) return false;
  OpenSegment(log, *opened);
  return !*log.broken;
}

void SegmentWriter::OpenSegment(Log& log, const SegmentTable::Opened& opened) {
  FaultAt("ssd.segment");
  log.segment = opened;
  log.position = 0;
  log.broken = std::make_shared<std::atomic<bool>>(false);
  if (!EnsureBuffer(log)) {
    *log.broken = true;
    return;
  }
  const SegmentHeader header = EncodeSegment(
      {.segment = opened.segment, .generation = opened.generation, .tier = parts_.tier},
      parts_.seed);
  std::byte* page = log.buffer->memory.data();
  std::memset(page, 0, kSegmentHeaderBytes);
  std::memcpy(page, &header, sizeof(header));
  log.buffer->fill = kSegmentHeaderBytes;
  log.position = kSegmentHeaderBytes;
  Add(parts_.counters.overhead_bytes_written, kSegmentHeaderBytes);
}

void SegmentWriter::CloseSegment(Log& log) {
  if (log.buffer != nullptr) Submit(log);
  parts_.segments.Seal(log.segment.segment, log.position);
  log.segment = {};
}

bool SegmentWriter::Copy(Log& log, const Operation& operation) {
  const RecordHeader header = EncodeRecord(operation->entry, operation->sequence, parts_.seed);
  const uint64_t end = RecordBytes(operation->frame_bytes);
  for (uint64_t at = 0; at < end;) {
    if (!EnsureBuffer(log)) {
      *log.broken = true;
      return false;
    }
    Buffer& buffer = *log.buffer;
    if (buffer.operations.empty()) buffer.oldest = parts_.clock.Now();
    if (buffer.operations.empty() || buffer.operations.back() != operation) {
      operation->Hold();
      buffer.operations.push_back(operation);
    }
    buffer.urgent |= operation->urgent;
    std::span<std::byte> room = buffer.memory.subspan(buffer.fill);
    if (at < sizeof(header)) {
      // Buffers are whole units and a header is three of them: it may be cut.
      room = room.first(std::min<uint64_t>(room.size(), sizeof(header) - at));
      std::memcpy(room.data(), reinterpret_cast<const std::byte*>(&header) + at, room.size());
    } else {
      room = room.first(std::min<uint64_t>(room.size(), end - at));
      operation->Copy(at - sizeof(header), room);  // zeros behind the frame
    }
    at += room.size();
    buffer.fill += room.size();
    log.position += room.size();
    if (buffer.fill == buffer.memory.size()) Submit(log);
  }
  return true;
}

bool SegmentWriter::EnsureBuffer(Log& log) {
  if (log.buffer != nullptr) return true;
  const size_t index = static_cast<size_t>(&log - logs_.data());
  {
    MutexLock lock(mutex_);
    while (buffers_out_[index] >= options_.buffers_per_log) {
      if (!log.device->online()) return false;
      changed_.WaitFor(mutex_, kRetryInterval);
    }
    ++buffers_out_[index];
  }
  log.buffer = std::make_unique<Buffer>();
  log.buffer->memory = parts_.buffers.Take(options_.buffer_bytes);
  LARDER_CHECK(!log.buffer->memory.empty());  // the pool holds all of them
  log.buffer->offset = log.position;
  return true;
}

void SegmentWriter::Submit(Log& log) {
  std::shared_ptr<Buffer> buffer = std::move(log.buffer);
  const uint64_t padded = AlignUp(buffer->fill, kIoAlignment);
  std::fill(buffer->memory.begin() + static_cast<int64_t>(buffer->fill),
            buffer->memory.begin() + static_cast<int64_t>(padded), std::byte{0});
  Add(parts_.counters.overhead_bytes_written, padded - buffer->fill);
  log.position = buffer->offset + padded;
  const size_t index = static_cast<size_t>(&log - logs_.data());
  LARDER_CHECK(log.position <= parts_.segments.segment_bytes());
  ++turn_;
  log.device->Write(log.segment.segment, buffer->offset, buffer->memory.first(padded),
                    [this, buffer, index, broken = log.broken](int error) {
                      if (error != 0) *broken = true;
                      for (const Operation& operation : buffer->operations) {
                        if (error != 0) operation->Fail();
                        if (operation->Release()) written_(operation);
                      }
                      parts_.buffers.Give(buffer->memory);
                      {
                        MutexLock lock(mutex_);
                        --buffers_out_[index];
                        changed_.NotifyAll();  // under the lock: the destructor may be waiting
                      }
                    });
}

}  // namespace larder::server
