// Frames by name on the SSD tier, as the store uses them: SsdTier (ssd_tier.h has the contract), and
// a fake in tests.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/ssd/ssd_options.h"
#include "server/ssd/ssd_record.h"

namespace larder::server {

// A verified frame in staging memory, 64-byte aligned. Move-only; gives the memory back when it
// dies, on any thread. Holders should be quick: other reads wait for that memory.
class SsdFrame {
 public:
  SsdFrame() = default;
  SsdFrame(std::span<std::byte> bytes, std::function<void()> release)
      : bytes_(bytes), release_(std::move(release)) {}
  ~SsdFrame() { Reset(); }
  SsdFrame(SsdFrame&& other) noexcept { Swap(other); }
  SsdFrame& operator=(SsdFrame&& other) noexcept {
    Swap(other);
    return *this;
  }

  std::span<std::byte> bytes() const { return bytes_; }  // the frame, header region first
  void Reset() {
    bytes_ = {};
    if (release_) std::exchange(release_, nullptr)();
  }

 private:
  void Swap(SsdFrame& other) {
    std::swap(bytes_, other.bytes_);
    std::swap(release_, other.release_);
  }
  std::span<std::byte> bytes_;
  std::function<void()> release_;
};

struct SsdAppend {
  SsdRecord record;
  // The frame, in order, in any number of pieces; readable until `done`. Not verified here: a frame
  // that is damaged already is found by the first read.
  std::vector<std::span<const std::byte>> frame;
  TimePoint deadline;
  bool urgent = false;  // somebody waits: do not hold it back to fill buffers and commits
};

struct SsdRead {
  std::string_view key;  // copied
  SsdLocation location;
  TimePoint deadline;
};

// Thread-safe. Errors, callbacks and their threads: ssd_tier.h.
class SsdFrames {
 public:
  virtual ~SsdFrames() = default;

  // OK: `done` will be called exactly once. Otherwise nothing was taken and it never is.
  virtual absl::Status Append(SsdAppend append,
                              std::function<void(absl::StatusOr<SsdLocation>)> done) = 0;
  // `done` is called exactly once, by the deadline: on the caller's thread for an answer that needs
  // no I/O (stale, offline), otherwise on a thread of the tier.
  virtual void Read(const SsdRead& read, std::function<void(absl::StatusOr<SsdFrame>)> done) = 0;
  // Forgets the name if it still stands for `location`. Takes effect soon and without a sync: after a
  // crash the record may be back, unchanged. Never blocks on I/O.
  virtual void Erase(std::string_view key, SsdLocation location) = 0;
  // Replaces priority and times of the name, if it still stands for `location`. As Erase.
  virtual void Retain(std::string_view key, SsdLocation location,
                      const SsdRetention& retention) = 0;
  // Returns when everything appended, erased and retained before it has been committed or has failed.
  virtual absl::Status Flush(TimePoint deadline) = 0;

  virtual uint64_t frame_bytes_max() const = 0;  // a larger frame is INVALID_ARGUMENT
  virtual SsdHealth health() const = 0;          // cheap
  virtual SsdUsage usage() const = 0;            // a few microseconds
};

}  // namespace larder::server
