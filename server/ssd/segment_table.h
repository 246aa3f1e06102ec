// State of every segment of the tier: which are free, open, sealed or being reclaimed, how much in
// them still counts, and who reads them. Bookkeeping only: no I/O.
//
//   free -> open (two per device, filled by the writer) -> sealed -> reclaiming -> free
//
// A segment in use has a generation, never given out before; a free one has generation 0, so that no location
// points into it. It becomes free only when no reader and no unfinished append is left in it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "server/base/mutex.h"
#include "server/ssd/segment_format.h"

namespace larder::server {

// Thread-safe. All calls are short; Victim is O(segments).
class SegmentTable {
 public:
  enum class State : uint8_t { kFree, kOpen, kSealed, kReclaiming };

  explicit SegmentTable(uint64_t segment_bytes) : segment_bytes_(segment_bytes) {}

  // Adds a segment of `device`, which becomes the device's next index; in use with the generation
  // and number of written bytes that were found in it, or free.
  void Add(uint32_t device, uint32_t generation, uint64_t written_bytes);
  // Removes the device's last segment if it is free.
  bool RemoveLast(uint32_t device);
  uint32_t CountOf(uint32_t device) const;

  struct Opened {
    uint32_t segment = 0;
    uint32_t generation = 0;
  };
  // A free segment of the device, opened; the last free one of the tier only with `reserve`.
  std::optional<Opened> Open(uint32_t device, bool reserve);
  void Seal(uint32_t segment, uint64_t written_bytes);
  uint32_t free_segments() const;

  // An append that was placed and has not been committed or given up: keeps the segment.
  void BeginAppend(uint32_t segment);
  void EndAppend(uint32_t segment);

  // A reader of the location, until Unpin; false when it is stale or does not lie in the segment.
  bool Pin(const SsdLocation& location);
  void Unpin(uint32_t segment);
  bool IsCurrent(const SsdLocation& location) const;

  // The catalog begins or ends to name this location.
  void AddLive(const SsdLocation& location);
  void DropLive(const SsdLocation& location);

  // Of the sealed segments without unfinished appends the one in which least counts, the oldest of
  // several; it is reclaiming from now on.
  std::optional<Opened> Victim();
  // How many records of a segment the catalog names.
  uint64_t LiveRecords(uint32_t segment) const;
  uint64_t LiveBytes(uint32_t segment) const;
  // The victim is sealed again: it could not be emptied.
  void GiveBack(uint32_t segment);
  // No location points into it any more: becomes free at once, or with its last reader.
  void Retire(uint32_t segment);

  // After the catalog was walked: sealed segments in which nothing counts are free.
  void FreeEmpty();
  // Before it is walked again.
  void ClearLive();
  // Sealed segments, oldest first.
  std::vector<Opened> Sealed() const;
  bool InUse(uint32_t segment, uint32_t generation) const;
  uint64_t WrittenBytes(uint32_t segment) const;

  struct Sums {
    uint32_t segments = 0;
    uint32_t free = 0;
    uint64_t used_bytes = 0;
    uint64_t live_bytes = 0;
    uint64_t live_records = 0;
  };
  Sums sums() const;
  // Generations given out later are larger than this.
  void RaiseGeneration(uint32_t seen);
  uint64_t segment_bytes() const { return segment_bytes_; }

 private:
  struct Segment {
    State state = State::kFree;
    uint32_t generation = 0;
    uint32_t readers = 0;
    uint32_t appends = 0;
    bool retired = false;
    uint64_t live_bytes = 0;
    uint64_t live_records = 0;
    uint64_t written_bytes = 0;
  };
  const Segment* Find(uint32_t segment) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Segment* Find(uint32_t segment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsCurrentLocked(const SsdLocation& location) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreeIfUnusedLocked(uint32_t number, Segment& segment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t segment_bytes_;
  mutable Mutex mutex_;
  std::vector<std::vector<Segment>> devices_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::deque<uint32_t>> free_ ABSL_GUARDED_BY(mutex_);  // per device, by number
  std::deque<uint32_t> sealed_ ABSL_GUARDED_BY(mutex_);             // oldest first
  uint32_t free_count_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
