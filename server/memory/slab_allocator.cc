#include "server/memory/slab_allocator.h"

#include <algorithm>
#include <array>
#include <bit>

#include "server/base/check.h"
#include "server/base/lazy_array.h"

namespace larder::server {
namespace {

// A run is a maximal stretch of free granules, or one extent of a slab. One record per granule, of
// which only those at the ends of runs are in use:
//
//   kind         where                      granules                    next
//   kInside      anywhere else              0                        0
//   kSlab        first granule of a slab       granules of the extent      first granule of the
//   next extent kExtent      first granule of its others   granules of the extent      first
//   granule of the next extent kFreeFirst   first granule of a free run   granules of the run next
//   free run of its class kFreeLast    last granule of a free run    granules of the run previous
//   free run of its class kFreeSingle  free run of one granule       previous of its class    next
//   of its class
//
// Invariants: every granule is in exactly one run; two free runs are never neighbours; every record
// that the table does not name is kInside. By the last one a record can be read without knowing
// where runs begin: who frees an extent looks at the records just before and just after it and sees
// a free run there or not, and a stale or made-up SlabRef meets a record that is not kSlab.
enum class GranuleKind : uint64_t { kInside, kSlab, kExtent, kFreeFirst, kFreeLast, kFreeSingle };

struct GranuleRecord {
  GranuleRecord() = default;
  GranuleRecord(GranuleKind kind, uint32_t granules, uint32_t next)
      : kind(kind), granules(granules), next(next) {}

  GranuleKind kind : 4;
  uint64_t granules : 30;
  uint64_t next : 30;
};
static_assert(sizeof(GranuleRecord) == 8);

constexpr uint32_t kNoGranule =
    SlabAllocator::kGranulesMax;  // ends a list; granules are numbered from 0

// Classes: 1 to 15 granules exactly, then 8 classes per power of two, so a class spans at most 12.5
// %.
constexpr uint32_t kClasses = 224;
constexpr uint32_t kNoClass = kClasses;
constexpr uint32_t ClassOf(uint32_t granules) {
  if (granules < 16) return granules;
  const uint32_t shift = std::bit_width(granules) - 4;  // leaves the leading 1 and three more bits
  return 8 * shift + (granules >> shift);
}
static_assert(ClassOf(16) == 16 && ClassOf(SlabAllocator::kGranulesMax) == kClasses - 1);

// Runs of a request's own class may be too short; after this many the next class is taken instead.
constexpr int kFitProbesMax = 8;

}  // namespace

// The granule map and the lists of free runs in it.
class SlabAllocator::GranuleRuns {
 public:
  explicit GranuleRuns(uint32_t granules) : granules_(granules), map_(granules) {
    LARDER_CHECK(granules > 0 && granules <= kGranulesMax);
    heads_.fill(kNoGranule);
    Link(0, granules);
  }

  uint32_t free_granules() const { return free_granules_; }
  uint32_t total_granules() const { return granules_; }

  const GranuleRecord& extent(uint32_t first) const { return map_[first]; }
  bool IsSlab(uint32_t granule) const {
    return granule < granules_ && map_[granule].kind == GranuleKind::kSlab;
  }

  // A free run of at least `granules`, as short as is found without a search; else the longest one,
  // to the precision of a class. Something must be free.
  uint32_t Find(uint32_t granules) const {
    const uint32_t own = ClassOf(granules);
    uint32_t run = heads_[own];
    for (int probe = 0; run != kNoGranule && probe < kFitProbesMax; ++probe) {
      if (LengthOf(run) >= granules) return run;
      run = map_[run].next;
    }
    const uint32_t longer = ClassAbove(own);
    if (longer != kNoClass) return heads_[longer];
    return heads_[LongestClass()];
  }

  // Makes the front of a free run, `granules` long at most, an extent of a slab; returns its
  // length.
  uint32_t Take(uint32_t run, uint32_t granules, GranuleKind kind) {
    const uint32_t length = LengthOf(run);
    const uint32_t taken = std::min(length, granules);
    Unlink(run, length);
    if (taken < length) Link(run + taken, length - taken);
    map_[run] = {kind, taken, kNoGranule};
    return taken;
  }
  void Chain(uint32_t extent, uint32_t next) { map_[extent].next = next; }

  // Frees one extent; returns the slab's next one or kNoGranule.
  uint32_t Release(uint32_t first) {
    const GranuleRecord record = map_[first];
    uint32_t granules = record.granules;
    map_[first] = {};
    const uint32_t after = first + granules;
    if (after < granules_ && IsFreeFirst(map_[after])) {
      const uint32_t length = LengthOf(after);
      Unlink(after, length);
      granules += length;
    }
    if (first > 0 && IsFreeLast(map_[first - 1])) {
      const uint32_t length =
          map_[first - 1].kind == GranuleKind::kFreeSingle ? 1 : map_[first - 1].granules;
      first -= length;
      Unlink(first, length);
      granules += length;
    }
    Link(first, granules);
    return record.next;
  }

 private:
  static bool IsFreeFirst(const GranuleRecord& record) {
    return record.kind == GranuleKind::kFreeFirst || record.kind == GranuleKind::kFreeSingle;
  }
  static bool IsFreeLast(const GranuleRecord& record) {
    return record.kind == GranuleKind::kFreeLast || record.kind == GranuleKind::kFreeSingle;
  }
  uint32_t LengthOf(uint32_t run) const {
    const GranuleRecord& record = map_[run];
    return record.kind == GranuleKind::kFreeSingle ? 1 : record.granules;
  }

  // Puts a run at the head of its class.
  void Link(uint32_t run, uint32_t length) {
    const uint32_t size_class = ClassOf(length);
    const uint32_t next = heads_[size_class];
    if (length == 1) {
      map_[run] = {GranuleKind::kFreeSingle, kNoGranule, next};
    } else {
      map_[run] = {GranuleKind::kFreeFirst, length, next};
      map_[run + length - 1] = {GranuleKind::kFreeLast, length, kNoGranule};
    }
    if (next != kNoGranule) SetPrevious(next, run);
    heads_[size_class] = run;
    filled_[size_class / 64] |= uint64_t{1} << (size_class % 64);
    free_granules_ += length;
  }

  // Takes a run off its list and clears its records.
  void Unlink(uint32_t run, uint32_t length) {
    const uint32_t next = map_[run].next;
    const GranuleRecord& last = map_[run + length - 1];
    const uint32_t previous = length == 1 ? last.granules : last.next;
    if (next != kNoGranule) SetPrevious(next, previous);
    if (previous != kNoGranule) {
      map_[previous].next = next;
    } else {
      const uint32_t size_class = ClassOf(length);
      heads_[size_class] = next;
      if (next == kNoGranule) filled_[size_class / 64] &= ~(uint64_t{1} << (size_class % 64));
    }
    map_[run + length - 1] = {};
    map_[run] = {};
    free_granules_ -= length;
  }

  void SetPrevious(uint32_t run, uint32_t previous) {
    const uint32_t length = LengthOf(run);
    if (length == 1) {
      map_[run].granules = previous;
    } else {
      map_[run + length - 1].next = previous;
    }
  }

  uint32_t ClassAbove(uint32_t size_class) const {
    uint32_t word = (size_class + 1) / 64;
    if (word == filled_.size()) return kNoClass;
    uint64_t bits = filled_[word] & (~uint64_t{0} << ((size_class + 1) % 64));
    while (bits == 0 && ++word < filled_.size()) bits = filled_[word];
    return bits == 0 ? kNoClass : word * 64 + std::countr_zero(bits);
  }
  uint32_t LongestClass() const {
    size_t word = filled_.size() - 1;
    while (filled_[word] == 0) --word;
    return word * 64 + std::bit_width(filled_[word]) - 1;
  }

  uint32_t granules_;
  uint32_t free_granules_ = 0;
  LazyArray<GranuleRecord> map_;
  std::array<uint32_t, kClasses> heads_;                    // first free run of each class
  std::array<uint64_t, (kClasses + 63) / 64> filled_ = {};  // bit per class: its list is not empty
};

SlabAllocator::SlabAllocator(uint32_t granules) : runs_(std::make_unique<GranuleRuns>(granules)) {}
SlabAllocator::~SlabAllocator() = default;

std::optional<SlabRef> SlabAllocator::Allocate(uint32_t granules) {
  LARDER_CHECK(granules > 0);
  if (granules > runs_->free_granules()) return std::nullopt;
  const SlabRef slab = runs_->Find(granules);
  uint32_t missing = granules - runs_->Take(slab, granules, GranuleKind::kSlab);
  uint32_t last = slab;
  for (uint32_t extents = 1; missing > 0; ++extents) {
    if (extents == ExtentsMax(granules)) {
      Free(slab);
      return std::nullopt;
    }
    const uint32_t run = runs_->Find(missing);
    missing -= runs_->Take(run, missing, GranuleKind::kExtent);
    runs_->Chain(last, run);
    last = run;
  }
  return slab;
}

void SlabAllocator::Free(SlabRef slab) {
  LARDER_CHECK(runs_->IsSlab(slab));
  for (uint32_t extent = slab; extent != kNoGranule;) extent = runs_->Release(extent);
}

Extents SlabAllocator::ExtentsOf(SlabRef slab) const {
  LARDER_CHECK(runs_->IsSlab(slab));
  Extents extents;
  for (uint32_t first = slab; first != kNoGranule;) {
    const GranuleRecord& record = runs_->extent(first);
    extents.push_back({first, static_cast<uint32_t>(record.granules)});
    first = record.next;
  }
  return extents;
}

uint32_t SlabAllocator::free_granules() const { return runs_->free_granules(); }
uint32_t SlabAllocator::total_granules() const { return runs_->total_granules(); }

}  // namespace larder::server
