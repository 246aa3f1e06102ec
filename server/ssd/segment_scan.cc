#include "server/ssd/segment_scan.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "server/base/check.h"

namespace larder::server {
namespace {

// A part of the segment in memory, which moves along. Grows while reads are close to each other, so that
// small records and garbage are searched at the device's speed.
class Window {
 public:
  Window(Device& device, const SegmentScan& scan)
      : device_(device),
        scan_(scan),
        memory_(static_cast<std::byte*>(std::aligned_alloc(kIoAlignment, kScanWindowBytesMax)),
                std::free) {
    LARDER_CHECK(memory_ != nullptr);
  }

  // The header that may begin at `position`; empty when it can not be read, and then the window's
  // end is where to go on.
  std::span<const std::byte> At(uint64_t position) {
    if (position < begin_ || position + sizeof(RecordHeader) > begin_ + bytes_) Load(position);
    if (!readable_) return {};
    const std::span<const std::byte> all(memory_.get(), bytes_);
    return all.subspan(position - begin_, sizeof(RecordHeader));
  }
  uint64_t end() const { return begin_ + bytes_; }
  uint64_t failures() const { return failures_; }

 private:
  void Load(uint64_t position) {
    const uint64_t begin = position / kIoAlignment * kIoAlignment;
    const bool follows = bytes_ > 0 && begin <= begin_ + bytes_ + kScanGapMax && begin >= begin_;
    size_ = follows ? std::min(size_ * 2, kScanWindowBytesMax) : kScanWindowBytes;
    begin_ = begin;
    bytes_ = std::min(size_, scan_.segment_bytes - begin);
    readable_ = device_.ReadNow(scan_.segment, begin_, {memory_.get(), bytes_}) == 0;
    if (!readable_) ++failures_;
  }

  Device& device_;
  const SegmentScan& scan_;
  const std::unique_ptr<std::byte, decltype(&std::free)> memory_;
  uint64_t size_ = kScanWindowBytes;
  uint64_t begin_ = 0;
  uint64_t bytes_ = 0;
  bool readable_ = false;
  uint64_t failures_ = 0;
};

}  // namespace

uint64_t ScanSegment(Device& device, const SegmentScan& scan,
                     const std::function<bool(const StoredRecord&)>& visit) {
  Window window(device, scan);
  uint32_t generation = scan.generation;
  const uint64_t end = std::min(scan.end, scan.segment_bytes);
  for (uint64_t at = kSegmentHeaderBytes; at + sizeof(RecordHeader) <= end;) {
    const std::span<const std::byte> bytes = window.At(at);
    if (bytes.empty()) {
      at = window.end();
      continue;
    }
    at += kSsdUnitBytes;
    if (!MayBeRecord(bytes)) continue;
    const auto record = DecodeRecord(bytes, scan.seed);
    if (!record.has_value()) continue;
    const uint64_t begin = at - kSsdUnitBytes;
    const SsdLocation& location = record->entry.location;
    if (generation == 0) generation = location.generation;
    if (location.segment != scan.segment || location.generation != generation ||
        location.offset != begin / kSsdUnitBytes ||
        begin + RecordBytes(location.frame_bytes) > scan.segment_bytes) {
      continue;
    }
    if (!visit(*record)) break;
    at = begin + RecordBytes(location.frame_bytes);
  }
  return window.failures();
}

}  // namespace larder::server
