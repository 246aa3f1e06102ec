// One append on its way: queued, copied into write buffers, written, committed. It may be ended
// early (deadline, failure); from then on its frame's memory is not touched, and its record, if it was
// placed, is dead bytes that no catalog names.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/mutex.h"
#include "server/ssd/ssd_record.h"

namespace larder::server {

// Thread-safe where it says so; the rest belongs to the writer, then to the committer. Shared by the
// queue, the buffers that hold pieces of it, and the deadline table.
class AppendOperation {
 public:
  using Done = std::function<void(absl::StatusOr<SsdLocation>)>;

  AppendOperation(SsdRecord record, std::vector<std::span<const std::byte>> frame, Done done);

  SsdEntry entry;  // location: once placed
  uint64_t sequence = 0;
  uint64_t frame_bytes = 0;
  bool urgent = false;
  std::optional<SsdLocation> moved_from;  // commit only while the catalog names this

  // Before anybody else sees it.
  void SetDone(Done done);
  // Thread-safe. As if it had never been: nothing will be called. False when it has ended.
  bool Abandon();
  // Thread-safe. Calls `done` if nobody has; true if it did.
  bool End(absl::StatusOr<SsdLocation> result);
  bool ended() const;
  // Copies the frame's bytes from `offset` on, or zeros once ended: End waits for at most one piece.
  void Copy(uint64_t offset, std::span<std::byte> into);

  // Thread-safe. One hold for the writer and one per buffer with a piece of the record; true for the
  // last one, after which the bytes are on the device unless failed().
  void Hold() { holds_.fetch_add(1, std::memory_order_relaxed); }
  bool Release() { return holds_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  void Fail() { failed_.store(true, std::memory_order_relaxed); }
  bool failed() const { return failed_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> holds_{1};
  std::atomic<bool> failed_{false};
  mutable Mutex mutex_;
  std::vector<std::span<const std::byte>> frame_ ABSL_GUARDED_BY(mutex_);
  Done done_ ABSL_GUARDED_BY(mutex_);  // empty: ended
};

}  // namespace larder::server
