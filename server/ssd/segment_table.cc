#include "server/ssd/segment_table.h"

#include <algorithm>
#include <utility>

#include "server/base/check.h"

namespace larder::server {
namespace {

// Null for a number that names no segment.
template <typename Devices>
auto FindIn(Devices& devices, uint32_t number) -> decltype(&devices[0][0]) {
  const uint32_t device = DeviceOf(number);
  if (device >= devices.size() || IndexOf(number) >= devices[device].size()) return nullptr;
  return &devices[device][IndexOf(number)];
}

}  // namespace

void SegmentTable::Add(uint32_t device, uint32_t generation, uint64_t written_bytes) {
  MutexLock lock(mutex_);
  if (devices_.size() <= device) {
    devices_.resize(device + 1);
    free_.resize(device + 1);
  }
  const uint32_t number = SegmentNumber(device, static_cast<uint32_t>(devices_[device].size()));
  Segment segment;
  if (generation == 0) {
    free_[device].push_back(number);
    ++free_count_;
  } else {
    segment.state = State::kSealed;
    segment.generation = generation;
    segment.written_bytes = written_bytes;
    generation_ = std::max(generation_, generation);
    // Oldest first, also when segments are added after a restart: generations are their age.
    const auto at = std::find_if(sealed_.begin(), sealed_.end(), [&](uint32_t other) {
      mutex_.AssertHeld();
      return Find(other)->generation > generation;
    });
    sealed_.insert(at, number);
  }
  devices_[device].push_back(segment);
}

bool SegmentTable::RemoveLast(uint32_t device) {
  MutexLock lock(mutex_);
  if (device >= devices_.size() || devices_[device].empty()) return false;
  if (devices_[device].back().state != State::kFree) return false;
  const uint32_t number = SegmentNumber(device, static_cast<uint32_t>(devices_[device].size() - 1));
  std::erase(free_[device], number);
  --free_count_;
  devices_[device].pop_back();
  return true;
}

uint32_t SegmentTable::CountOf(uint32_t device) const {
  MutexLock lock(mutex_);
  return device < devices_.size() ? static_cast<uint32_t>(devices_[device].size()) : 0;
}

std::optional<SegmentTable::Opened> SegmentTable::Open(uint32_t device, bool reserve) {
  MutexLock lock(mutex_);
  if (device >= free_.size() || free_[device].empty()) return std::nullopt;
  if (!reserve && free_count_ <= 1) return std::nullopt;
  const uint32_t number = free_[device].front();
  free_[device].pop_front();
  --free_count_;
  Segment& segment = *Find(number);
  segment = {.state = State::kOpen, .generation = ++generation_};
  return Opened{number, segment.generation};
}

void SegmentTable::Seal(uint32_t number, uint64_t written_bytes) {
  MutexLock lock(mutex_);
  Segment& segment = *Find(number);
  LARDER_CHECK(segment.state == State::kOpen);
  segment.state = State::kSealed;
  segment.written_bytes = written_bytes;
  sealed_.push_back(number);
}

uint32_t SegmentTable::free_segments() const {
  MutexLock lock(mutex_);
  return free_count_;
}

void SegmentTable::BeginAppend(uint32_t number) {
  MutexLock lock(mutex_);
  ++Find(number)->appends;
}

void SegmentTable::EndAppend(uint32_t number) {
  MutexLock lock(mutex_);
  Segment& segment = *Find(number);
  LARDER_CHECK(segment.appends > 0);
  --segment.appends;
  FreeIfUnusedLocked(number, segment);
}

bool SegmentTable::IsCurrentLocked(const SsdLocation& location) const {
  const Segment* segment = Find(location.segment);
  return segment != nullptr && location.generation != 0 &&
         segment->generation == location.generation && location.frame_bytes > 0 &&
         location.offset * kSsdUnitBytes >= kSegmentHeaderBytes &&
         location.offset * kSsdUnitBytes + RecordBytes(location.frame_bytes) <= segment_bytes_;
}

bool SegmentTable::IsCurrent(const SsdLocation& location) const {
  MutexLock lock(mutex_);
  return IsCurrentLocked(location);
}

bool SegmentTable::Pin(const SsdLocation& location) {
  MutexLock lock(mutex_);
  if (!IsCurrentLocked(location)) return false;
  ++Find(location.segment)->readers;
  return true;
}

void SegmentTable::Unpin(uint32_t number) {
  MutexLock lock(mutex_);
  Segment& segment = *Find(number);
  LARDER_CHECK(segment.readers > 0);
  --segment.readers;
  FreeIfUnusedLocked(number, segment);
}

void SegmentTable::AddLive(const SsdLocation& location) {
  MutexLock lock(mutex_);
  if (!IsCurrentLocked(location)) return;
  Segment& segment = *Find(location.segment);
  segment.live_bytes += RecordBytes(location.frame_bytes);
  ++segment.live_records;
}

void SegmentTable::DropLive(const SsdLocation& location) {
  MutexLock lock(mutex_);
  if (!IsCurrentLocked(location)) return;
  Segment& segment = *Find(location.segment);
  segment.live_bytes -= std::min(segment.live_bytes, RecordBytes(location.frame_bytes));
  if (segment.live_records > 0) --segment.live_records;
}

std::optional<SegmentTable::Opened> SegmentTable::Victim() {
  MutexLock lock(mutex_);
  const auto end = sealed_.end();
  auto best = end;
  for (auto at = sealed_.begin(); at != end; ++at) {
    const Segment& segment = *Find(*at);
    if (segment.appends > 0) continue;
    if (best == end || segment.live_bytes < Find(*best)->live_bytes) best = at;
  }
  if (best == end) return std::nullopt;
  const uint32_t number = *best;
  sealed_.erase(best);
  Segment& segment = *Find(number);
  segment.state = State::kReclaiming;
  return Opened{number, segment.generation};
}

uint64_t SegmentTable::LiveRecords(uint32_t segment) const {
  MutexLock lock(mutex_);
  return Find(segment)->live_records;
}

uint64_t SegmentTable::LiveBytes(uint32_t segment) const {
  MutexLock lock(mutex_);
  return Find(segment)->live_bytes;
}

void SegmentTable::GiveBack(uint32_t number) {
  MutexLock lock(mutex_);
  Segment& segment = *Find(number);
  LARDER_CHECK(segment.state == State::kReclaiming);
  segment.state = State::kSealed;
  sealed_.push_back(number);  // others are tried first
}

void SegmentTable::Retire(uint32_t number) {
  MutexLock lock(mutex_);
  Segment& segment = *Find(number);
  LARDER_CHECK(segment.state == State::kReclaiming);
  segment.retired = true;
  segment.generation = 0;
  FreeIfUnusedLocked(number, segment);
}

void SegmentTable::FreeIfUnusedLocked(uint32_t number, Segment& segment) {
  if (!segment.retired || segment.readers > 0 || segment.appends > 0) return;
  segment = {};
  free_[DeviceOf(number)].push_back(number);
  ++free_count_;
}

void SegmentTable::FreeEmpty() {
  MutexLock lock(mutex_);
  std::erase_if(sealed_, [this](uint32_t number) {
    mutex_.AssertHeld();
    Segment& segment = *Find(number);
    if (segment.live_records > 0) return false;
    segment.retired = true;
    FreeIfUnusedLocked(number, segment);
    return true;
  });
}

void SegmentTable::ClearLive() {
  MutexLock lock(mutex_);
  for (std::vector<Segment>& device : devices_) {
    for (Segment& segment : device) segment.live_bytes = segment.live_records = 0;
  }
}

std::vector<SegmentTable::Opened> SegmentTable::Sealed() const {
  MutexLock lock(mutex_);
  std::vector<Opened> all;
  for (const uint32_t number : sealed_) all.push_back({number, Find(number)->generation});
  return all;
}

bool SegmentTable::InUse(uint32_t number, uint32_t generation) const {
  MutexLock lock(mutex_);
  const Segment* segment = Find(number);
  return segment != nullptr && generation != 0 && segment->generation == generation;
}

uint64_t SegmentTable::WrittenBytes(uint32_t number) const {
  MutexLock lock(mutex_);
  const Segment* segment = Find(number);
  return segment == nullptr ? 0 : segment->written_bytes;
}

SegmentTable::Sums SegmentTable::sums() const {
  MutexLock lock(mutex_);
  Sums sums;
  for (const std::vector<Segment>& device : devices_) {
    for (const Segment& segment : device) {
      ++sums.segments;
      if (segment.state == State::kFree) ++sums.free;
      sums.used_bytes += segment.written_bytes;
      sums.live_bytes += segment.live_bytes;
      sums.live_records += segment.live_records;
    }
  }
  return sums;
}

void SegmentTable::RaiseGeneration(uint32_t seen) {
  MutexLock lock(mutex_);
  generation_ = std::max(generation_, seen);
}

const SegmentTable::Segment* SegmentTable::Find(uint32_t number) const {
  return FindIn(devices_, number);
}
SegmentTable::Segment* SegmentTable::Find(uint32_t number) { return FindIn(devices_, number); }

}  // namespace larder::server
