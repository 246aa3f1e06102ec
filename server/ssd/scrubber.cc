#include "server/ssd/scrubber.h"

#include <algorithm>

#include "server/ssd/segment_scan.h"

namespace larder::server {
namespace {

constexpr std::chrono::seconds kScrubReadDeadline{5};
constexpr std::chrono::seconds kPassPause{1};  // between passes over a tier that is nearly empty

}  // namespace

bool Scrubber::Step() {
  const TimePoint now = parts_.clock.Now();
  if (parts_.bytes_per_second == 0 || now < next_) return false;
  if (records_.empty() && !NextSegment()) {
    next_ = now + kPassPause;
    return false;
  }
  if (records_.empty()) return true;
  const SsdEntry entry = std::move(records_.back());
  records_.pop_back();
  const uint64_t bytes = RecordBytes(entry.location.frame_bytes);
  next_ = std::max(now, next_) +
          std::chrono::duration_cast<Duration>(std::chrono::duration<double>(
              static_cast<double>(bytes) / static_cast<double>(parts_.bytes_per_second)));
  Add(parts_.counters.scrubbed_bytes, bytes);
  const auto frame = parts_.reader.ReadNow(
      {.key = entry.record.key, .location = entry.location, .deadline = now + kScrubReadDeadline});
  const bool unreadable = absl::IsUnavailable(frame.status()) &&
                          parts_.devices[DeviceOf(entry.location.segment)]->online();
  if (absl::IsDataLoss(frame.status()) || unreadable) {
    parts_.committer.Erase(entry.record.key, entry.location);
    owner_.Damaged(entry, frame.status());
  }
  return true;
}

bool Scrubber::NextSegment() {
  if (segments_.empty()) {
    if (parts_.counters.scrub_bytes_to_do.load() > 0) Add(parts_.counters.scrub_passes);
    segments_ = parts_.segments.Sealed();
    std::reverse(segments_.begin(), segments_.end());
    parts_.counters.scrubbed_bytes.store(0);
    uint64_t to_do = 0;
    for (const SegmentTable::Opened& segment : segments_) {
      to_do += parts_.segments.WrittenBytes(segment.segment);
    }
    parts_.counters.scrub_bytes_to_do.store(to_do);
    if (segments_.empty()) return false;
  }
  const SegmentTable::Opened next = segments_.back();
  segments_.pop_back();
  if (!parts_.segments.InUse(next.segment, next.generation)) return true;
  const SegmentScan scan = {.segment = next.segment,
                            .generation = next.generation,
                            .segment_bytes = parts_.segments.segment_bytes(),
                            .end = parts_.segments.WrittenBytes(next.segment),
                            .seed = parts_.seed};
  ScanSegment(*parts_.devices[DeviceOf(next.segment)], scan, [&](const StoredRecord& record) {
    const auto current = parts_.catalog.Find(record.entry.record.key);
    if (current.ok() && current->has_value() &&
        (*current)->entry.location == record.entry.location) {
      records_.push_back((*current)->entry);
    }
    return true;
  });
  std::reverse(records_.begin(), records_.end());
  return true;
}

}  // namespace larder::server
