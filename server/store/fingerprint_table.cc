#include "server/store/fingerprint_table.h"

#include "server/base/check.h"

namespace larder::server {

FingerprintTable::FingerprintTable() : segments_(kSegments) {}
FingerprintTable::~FingerprintTable() = default;

BlockRef FingerprintTable::Candidate(const Fingerprint& key) const {
  return Find(key, [](BlockRef) { return true; });
}

void FingerprintTable::Place(Segment& segment, const Fingerprint& key, BlockRef block) {
  // At most 7/8 full, so a free slot exists.
  for (uint32_t b = HomeOf(segment, key);; b = (b + 1) & segment.bucket_mask) {
    Bucket& bucket = segment.buckets[b];
    for (int i = 0; i < kSlots; ++i) {
      if (bucket.tags[i] != 0) continue;
      bucket.tags[i] = TagOf(key);
      bucket.refs[i] = block;
      ++segment.used;
      return;
    }
    ++bucket.passed_by;
  }
}

void FingerprintTable::Erase(const Fingerprint& key, BlockRef block) {
  Segment& segment = SegmentOf(key);
  LARDER_CHECK(segment.buckets != nullptr);
  for (uint32_t b = HomeOf(segment, key);; b = (b + 1) & segment.bucket_mask) {
    Bucket& bucket = segment.buckets[b];
    for (int i = 0; i < kSlots; ++i) {
      if (bucket.tags[i] == 0 || bucket.refs[i] != block) continue;
      bucket.tags[i] = 0;
      --segment.used;
      --size_;
      return;
    }
    LARDER_CHECK(bucket.passed_by > 0);
    --bucket.passed_by;
  }
}

size_t FingerprintTable::memory_bytes() const {
  size_t bytes = segments_.size() * sizeof(Segment);
  for (const Segment& segment : segments_) {
    if (segment.buckets != nullptr) bytes += (segment.bucket_mask + 1) * sizeof(Bucket);
  }
  return bytes;
}

}  // namespace larder::server
