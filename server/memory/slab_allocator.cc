#include "server/memory/slab_allocator.h"

#include <algorithm>
#include <array>
#include <bit>

#include "server/base/check.h"
#include "server/base/lazy_array.h"

namespace larder::server {
namespace {

// A run is a maximal stretch of free pages, or one extent of a slab. One record per page, of which
// only those at the ends of runs are in use:
//
//   kind         where                      pages                    next
//   kInside      anywhere else              0                        0
//   kSlab        first page of a slab       pages of the extent      first page of the next extent
//   kExtent      first page of its others   pages of the extent      first page of the next extent
//   kFreeFirst   first page of a free run   pages of the run         next free run of its class
//   kFreeLast    last page of a free run    pages of the run         previous free run of its class
//   kFreeSingle  free run of one page       previous of its class    next of its class
//
// Invariants: every page is in exactly one run; two free runs are never neighbours; every record
// that the table does not name is kInside. By the last one a record can be read without knowing
// where runs begin: who frees an extent looks at the records just before and just after it and sees
// a free run there or not, and a stale or made-up SlabRef meets a record that is not kSlab.
enum class PageKind : uint64_t { kInside, kSlab, kExtent, kFreeFirst, kFreeLast, kFreeSingle };

struct PageRecord {
  PageRecord() = default;
  PageRecord(PageKind kind, uint32_t pages, uint32_t next) : kind(kind), pages(pages), next(next) {}

  PageKind kind : 4;
  uint64_t pages : 30;
  uint64_t next : 30;
};
static_assert(sizeof(PageRecord) == 8);

constexpr uint32_t kNoPage = SlabAllocator::kPagesMax;  // ends a list; pages are numbered from 0

// Classes: 1 to 15 pages exactly, then 8 classes per power of two, so a class spans at most 12.5 %.
constexpr uint32_t kClasses = 224;
constexpr uint32_t kNoClass = kClasses;
constexpr uint32_t ClassOf(uint32_t pages) {
  if (pages < 16) return pages;
  const uint32_t shift = std::bit_width(pages) - 4;  // leaves the leading 1 and three more bits
  return 8 * shift + (pages >> shift);
}
static_assert(ClassOf(16) == 16 && ClassOf(SlabAllocator::kPagesMax) == kClasses - 1);

// Runs of a request's own class may be too short; after this many the next class is taken instead.
constexpr int kFitProbesMax = 8;

}  // namespace

// The page map and the lists of free runs in it.
class SlabAllocator::PageRuns {
 public:
  explicit PageRuns(uint32_t pages) : pages_(pages), map_(pages) {
    LARDER_CHECK(pages > 0 && pages <= kPagesMax);
    heads_.fill(kNoPage);
    Link(0, pages);
  }

  uint32_t free_pages() const { return free_pages_; }
  uint32_t total_pages() const { return pages_; }

  const PageRecord& extent(uint32_t first) const { return map_[first]; }
  bool IsSlab(uint32_t page) const { return page < pages_ && map_[page].kind == PageKind::kSlab; }

  // A free run of at least `pages`, as short as is found without a search; else the longest one, to
  // the precision of a class. Something must be free.
  uint32_t Find(uint32_t pages) const {
    const uint32_t own = ClassOf(pages);
    uint32_t run = heads_[own];
    for (int probe = 0; run != kNoPage && probe < kFitProbesMax; ++probe) {
      if (LengthOf(run) >= pages) return run;
      run = map_[run].next;
    }
    const uint32_t longer = ClassAbove(own);
    if (longer != kNoClass) return heads_[longer];
    return heads_[LongestClass()];
  }

  // Makes the front of a free run, `pages` long at most, an extent of a slab; returns its length.
  uint32_t Take(uint32_t run, uint32_t pages, PageKind kind) {
    const uint32_t length = LengthOf(run);
    const uint32_t taken = std::min(length, pages);
    Unlink(run, length);
    if (taken < length) Link(run + taken, length - taken);
    map_[run] = {kind, taken, kNoPage};
    return taken;
  }
  void Chain(uint32_t extent, uint32_t next) { map_[extent].next = next; }

  // Frees one extent; returns the slab's next one or kNoPage.
  uint32_t Release(uint32_t first) {
    const PageRecord record = map_[first];
    uint32_t pages = record.pages;
    map_[first] = {};
    const uint32_t after = first + pages;
    if (after < pages_ && IsFreeFirst(map_[after])) {
      const uint32_t length = LengthOf(after);
      Unlink(after, length);
      pages += length;
    }
    if (first > 0 && IsFreeLast(map_[first - 1])) {
      const uint32_t length =
          map_[first - 1].kind == PageKind::kFreeSingle ? 1 : map_[first - 1].pages;
      first -= length;
      Unlink(first, length);
      pages += length;
    }
    Link(first, pages);
    return record.next;
  }

 private:
  static bool IsFreeFirst(const PageRecord& record) {
    return record.kind == PageKind::kFreeFirst || record.kind == PageKind::kFreeSingle;
  }
  static bool IsFreeLast(const PageRecord& record) {
    return record.kind == PageKind::kFreeLast || record.kind == PageKind::kFreeSingle;
  }
  uint32_t LengthOf(uint32_t run) const {
    const PageRecord& record = map_[run];
    return record.kind == PageKind::kFreeSingle ? 1 : record.pages;
  }

  // Puts a run at the head of its class.
  void Link(uint32_t run, uint32_t length) {
    const uint32_t size_class = ClassOf(length);
    const uint32_t next = heads_[size_class];
    if (length == 1) {
      map_[run] = {PageKind::kFreeSingle, kNoPage, next};
    } else {
      map_[run] = {PageKind::kFreeFirst, length, next};
      map_[run + length - 1] = {PageKind::kFreeLast, length, kNoPage};
    }
    if (next != kNoPage) SetPrevious(next, run);
    heads_[size_class] = run;
    filled_[size_class / 64] |= uint64_t{1} << (size_class % 64);
    free_pages_ += length;
  }

  // Takes a run off its list and clears its records.
  void Unlink(uint32_t run, uint32_t length) {
    const uint32_t next = map_[run].next;
    const PageRecord& last = map_[run + length - 1];
    const uint32_t previous = length == 1 ? last.pages : last.next;
    if (next != kNoPage) SetPrevious(next, previous);
    if (previous != kNoPage) {
      map_[previous].next = next;
    } else {
      const uint32_t size_class = ClassOf(length);
      heads_[size_class] = next;
      if (next == kNoPage) filled_[size_class / 64] &= ~(uint64_t{1} << (size_class % 64));
    }
    map_[run + length - 1] = {};
    map_[run] = {};
    free_pages_ -= length;
  }

  void SetPrevious(uint32_t run, uint32_t previous) {
    const uint32_t length = LengthOf(run);
    if (length == 1) {
      map_[run].pages = previous;
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

  uint32_t pages_;
  uint32_t free_pages_ = 0;
  LazyArray<PageRecord> map_;
  std::array<uint32_t, kClasses> heads_;                    // first free run of each class
  std::array<uint64_t, (kClasses + 63) / 64> filled_ = {};  // bit per class: its list is not empty
};

SlabAllocator::SlabAllocator(uint32_t pages) : runs_(std::make_unique<PageRuns>(pages)) {}
SlabAllocator::~SlabAllocator() = default;

std::optional<SlabRef> SlabAllocator::Allocate(uint32_t pages) {
  LARDER_CHECK(pages > 0);
  if (pages > runs_->free_pages()) return std::nullopt;
  const SlabRef slab = runs_->Find(pages);
  uint32_t missing = pages - runs_->Take(slab, pages, PageKind::kSlab);
  uint32_t last = slab;
  for (uint32_t extents = 1; missing > 0; ++extents) {
    if (extents == ExtentsMax(pages)) {
      Free(slab);
      return std::nullopt;
    }
    const uint32_t run = runs_->Find(missing);
    missing -= runs_->Take(run, missing, PageKind::kExtent);
    runs_->Chain(last, run);
    last = run;
  }
  return slab;
}

void SlabAllocator::Free(SlabRef slab) {
  LARDER_CHECK(runs_->IsSlab(slab));
  for (uint32_t extent = slab; extent != kNoPage;) extent = runs_->Release(extent);
}

Extents SlabAllocator::ExtentsOf(SlabRef slab) const {
  LARDER_CHECK(runs_->IsSlab(slab));
  Extents extents;
  for (uint32_t first = slab; first != kNoPage;) {
    const PageRecord& record = runs_->extent(first);
    extents.push_back({first, static_cast<uint32_t>(record.pages)});
    first = record.next;
  }
  return extents;
}

uint32_t SlabAllocator::free_pages() const { return runs_->free_pages(); }
uint32_t SlabAllocator::total_pages() const { return runs_->total_pages(); }

}  // namespace larder::server
