// Hash table from fingerprint to block reference, made for the prefix index: 6-13 bytes per block,
// one cache line per probe, no pause longer than one small segment's growth, and a probe split in
// two so that many can be in flight.
//
// 1,024 segments, chosen by the fingerprint, each an open-addressed array of 64-byte buckets: 12
// references, a one-byte tag for each, and the number of blocks that passed this bucket by because
// it was full (so that a probe knows when to stop and removal leaves no tombstone). A segment
// doubles at 7/8 full. The table stores no fingerprints: it asks the caller's Matcher about each
// candidate.
//
// Thread-compatible. Cost  O(1); a hit costs 1 bucket plus 1/20 false candidates of the caller's
// memory.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/policy/eviction_order.h"
#include "server/store/fingerprint.h"

namespace larder::server {

class FingerprintTable {
 public:
  FingerprintTable();
  ~FingerprintTable();

  // Starts loading the memory of a probe.
  void Prefetch(const Fingerprint& key) const {
    const Segment& segment = SegmentOf(key);
    if (segment.buckets != nullptr) __builtin_prefetch(&segment.buckets[HomeOf(segment, key)]);
  }

  // First reference in probe order whose tag fits, without asking anyone: for prefetching the
  // entry. kNoBlock when there is none.
  BlockRef Candidate(const Fingerprint& key) const;

  // The reference for which matches(ref) is true; kNoBlock when there is none.
  template <typename Matches>
  BlockRef Find(const Fingerprint& key, Matches&& matches) const;

  // The key must be absent. fingerprint_of(ref) gives any stored block's fingerprint, for growth.
  template <typename FingerprintOf>
  void Insert(const Fingerprint& key, BlockRef block, FingerprintOf&& fingerprint_of);

  // The key must be present as `block`.
  void Erase(const Fingerprint& key, BlockRef block);

  size_t size() const { return size_; }
  size_t memory_bytes() const;

 private:
  static constexpr int kSlots = 12;
  static constexpr size_t kSegments = 1024;
  struct alignas(64) Bucket {
    BlockRef refs[kSlots];
    uint8_t tags[kSlots];  // 0: free
    uint32_t passed_by;
  };
  static_assert(sizeof(Bucket) == 64);
  struct Segment {
    std::unique_ptr<Bucket[]> buckets;
    uint32_t bucket_mask = 0;
    uint32_t used = 0;
  };

  // Slots of the bucket whose tag is `tag`, as a bit set.
  static uint32_t SlotsWith(const Bucket& bucket, uint8_t tag) {
#ifdef __SSE2__
    // One comparison for all: the 16 bytes at the tags end with passed_by, which the mask takes
    // away.
    static_assert(offsetof(Bucket, tags) + 16 == sizeof(Bucket));
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.tags));
    const __m128i equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
    return static_cast<uint32_t>(_mm_movemask_epi8(equal)) & ((1u << kSlots) - 1);
#else
    uint32_t slots = 0;
    for (int i = 0; i < kSlots; ++i) slots |= uint32_t{bucket.tags[i] == tag} << i;
    return slots;
#endif
  }

  // Three independent slices of the fingerprint: segment, home bucket, tag.
  const Segment& SegmentOf(const Fingerprint& key) const { return segments_[key.high % kSegments]; }
  Segment& SegmentOf(const Fingerprint& key) { return segments_[key.high % kSegments]; }
  static uint32_t HomeOf(const Segment& segment, const Fingerprint& key) {
    return static_cast<uint32_t>(key.low) & segment.bucket_mask;
  }
  static uint8_t TagOf(const Fingerprint& key) {
    const auto tag = static_cast<uint8_t>(key.low >> 56);
    return tag == 0 ? 1 : tag;  // 0 marks a free slot
  }
  static bool IsFull(const Segment& segment) {
    return segment.buckets == nullptr ||
           (segment.used + 1) * 8 > (segment.bucket_mask + 1) * uint32_t{kSlots} * 7;
  }
  static void Place(Segment& segment, const Fingerprint& key, BlockRef block);

  std::vector<Segment> segments_;
  size_t size_ = 0;
};

template <typename Matches>
BlockRef FingerprintTable::Find(const Fingerprint& key, Matches&& matches) const {
  const Segment& segment = SegmentOf(key);
  if (segment.buckets == nullptr) return kNoBlock;
  const uint8_t tag = TagOf(key);
  uint32_t b = HomeOf(segment, key);
  // Every bucket of a small segment may have been passed by, so the probe also ends after one
  // round.
  for (uint32_t probes = 0; probes <= segment.bucket_mask; ++probes) {
    const Bucket& bucket = segment.buckets[b];
    for (uint32_t slots = SlotsWith(bucket, tag); slots != 0; slots &= slots - 1) {
      const BlockRef ref = bucket.refs[std::countr_zero(slots)];
      if (matches(ref)) return ref;
    }
    if (bucket.passed_by == 0) return kNoBlock;
    b = (b + 1) & segment.bucket_mask;
  }
  return kNoBlock;
}

template <typename FingerprintOf>
void FingerprintTable::Insert(const Fingerprint& key, BlockRef block,
                              FingerprintOf&& fingerprint_of) {
  Segment& segment = SegmentOf(key);
  if (IsFull(segment)) {
    Segment grown;
    const uint32_t buckets = segment.buckets == nullptr ? 1 : (segment.bucket_mask + 1) * 2;
    grown.buckets = std::make_unique<Bucket[]>(buckets);
    grown.bucket_mask = buckets - 1;
    for (uint32_t b = 0; segment.buckets != nullptr && b <= segment.bucket_mask; ++b) {
      for (int i = 0; i < kSlots; ++i) {
        if (segment.buckets[b].tags[i] == 0) continue;
        const BlockRef moved = segment.buckets[b].refs[i];
        Place(grown, fingerprint_of(moved), moved);
      }
    }
    segment = std::move(grown);
  }
  Place(segment, key, block);
  ++size_;
}

}  // namespace larder::server
