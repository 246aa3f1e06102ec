// Which waiting operation of an I/O queue goes to the kernel next: reads before writes, but neither
// starves. A pure state machine, shared by the queues.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <utility>

#include "server/ssd/io_queue.h"

namespace larder::server {

struct IoOperation {
  enum class Kind : uint8_t { kRead, kWrite, kSync };
  Kind kind = Kind::kSync;
  uint64_t offset = 0;
  std::byte* memory = nullptr;
  uint64_t bytes = 0;
  uint64_t transferred = 0;
  IoDone done;

  static std::unique_ptr<IoOperation> Read(uint64_t offset, std::span<std::byte> into,
                                           IoDone done) {
    return std::make_unique<IoOperation>(
        IoOperation{Kind::kRead, offset, into.data(), into.size(), 0, std::move(done)});
  }
  static std::unique_ptr<IoOperation> Write(uint64_t offset, std::span<const std::byte> from,
                                            IoDone done) {
    return std::make_unique<IoOperation>(IoOperation{Kind::kWrite, offset,
                                                     const_cast<std::byte*>(from.data()),
                                                     from.size(), 0, std::move(done)});
  }
  static std::unique_ptr<IoOperation> Sync(IoDone done) {
    return std::make_unique<IoOperation>(
        IoOperation{Kind::kSync, 0, nullptr, 0, 0, std::move(done)});
  }

  // What the kernel answered: a byte count or -errno. nullopt-like: kMore when the rest must be
  // asked for; otherwise the error for `done`. A continued transfer stays aligned.
  static constexpr int kMore = -1;
  int Take(int64_t answer) {
    if (answer == -EINTR || answer == -EAGAIN) return kMore;
    if (answer < 0) return static_cast<int>(-answer);
    const uint64_t all = transferred + static_cast<uint64_t>(answer);
    if (all >= bytes) return 0;
    const uint64_t aligned = all / kIoAlignment * kIoAlignment;
    if (aligned <= transferred) return EIO;  // the end of the file, or no progress
    transferred = aligned;
    return kMore;
  }
};

// Thread-compatible. While both kinds wait, writes (and syncs) get a quarter to a half of the depth.
class IoSchedule {
 public:
  explicit IoSchedule(uint32_t depth) : depth_(std::clamp<uint32_t>(depth, 2, 64)) {}

  void Push(std::unique_ptr<IoOperation> operation) {
    (IsRead(*operation) ? reads_ : writes_).push_back(std::move(operation));
  }

  // The next operation to start, which counts as in flight until Finished; null when none may start.
  std::unique_ptr<IoOperation> Pop() {
    if (in_flight() >= depth_) return nullptr;
    const bool reads = !reads_.empty() || reads_in_flight_ > 0;
    const uint32_t reads_max =
        writes_.empty() ? depth_ : depth_ - std::max(1u, depth_ / 4);  // room for writes that wait
    if (!reads_.empty() && reads_in_flight_ < reads_max) return PopFrom(reads_, reads_in_flight_);
    if (!writes_.empty() && writes_in_flight_ < (reads ? depth_ / 2 : depth_)) {
      return PopFrom(writes_, writes_in_flight_);
    }
    return nullptr;
  }

  void Finished(const IoOperation& operation) {
    --(IsRead(operation) ? reads_in_flight_ : writes_in_flight_);
  }

  uint32_t depth() const { return depth_; }
  uint32_t in_flight() const { return reads_in_flight_ + writes_in_flight_; }
  bool idle() const { return in_flight() == 0 && reads_.empty() && writes_.empty(); }

 private:
  using Waiting = std::deque<std::unique_ptr<IoOperation>>;
  static bool IsRead(const IoOperation& operation) {
    return operation.kind == IoOperation::Kind::kRead;
  }
  static std::unique_ptr<IoOperation> PopFrom(Waiting& waiting, uint32_t& in_flight) {
    std::unique_ptr<IoOperation> operation = std::move(waiting.front());
    waiting.pop_front();
    ++in_flight;
    return operation;
  }

  const uint32_t depth_;
  Waiting reads_;
  Waiting writes_;
  uint32_t reads_in_flight_ = 0;
  uint32_t writes_in_flight_ = 0;
};

}  // namespace larder::server
