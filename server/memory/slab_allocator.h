// Allocates slabs from a range of 512-byte granules. A slab is one or more extents (runs of
// granules): one when a run is long enough, several when memory is fragmented, so every free
// granule can be used and utilisation loses little more than the rounding to a granule. Frames are
// read and written through slices, so they need not be contiguous.
//
// The number of extents of a slab is limited, and not only to keep calls short: without a limit
// each slab is pieced together from smaller crumbs than the one before it. Under constant turnover
// at full budget (4 KiB to 8 MiB, 4 GiB) the mean grows to 50 extents and more; with the limit it
// stays below 9 for 0.2 % of the memory (tests/bench/allocator_bench).
//
// Free runs are kept in lists by size class (powers of two, with 8 steps between) and found by
// bitmap; runs coalesce on free through a granule map with a record at both ends of each run.
// Bookkeeping is 8 bytes per granule outside the range (1.6 %), committed lazily.
//
// Thread-compatible: the tier locks. Never touches the memory itself, so a device's will do as
// well. Cost  O(extents) per call, each extent a handful of granule map records.
//
//   SlabAllocator slabs(/*granules=*/1024);
//   std::optional<SlabRef> slab = slabs.Allocate(300);
//   for (const Extent& extent : slabs.ExtentsOf(*slab)) { ... }
//   slabs.Free(*slab);
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/inlined_vector.h"

namespace larder::server {

// Small enough that rounding costs a 32 KiB frame nothing (a frame header region is about 512
// bytes).
inline constexpr uint64_t kGranuleBytes = 512;

// First granule of a slab: names it until it is freed. Dense enough to fit the block index's 32
// bits.
using SlabRef = uint32_t;
inline constexpr SlabRef kNoSlab = UINT32_MAX;

struct Extent {
  uint32_t first_granule = 0;
  uint32_t granules = 0;
};
using Extents = absl::InlinedVector<Extent, 8>;

class SlabAllocator {
 public:
  // 512 GiB: granule numbers and lengths have 30 bits, so that a record of the granule map has 8
  // bytes. A larger host runs one server per NUMA node.
  static constexpr uint32_t kGranulesMax = (1u << 30) - 1;

  // Most extents of a slab: 16, and for slabs beyond 8 MiB one per 512 KiB, so that they need not
  // wait for long runs among small blocks.
  static constexpr uint32_t ExtentsMax(uint32_t granules) { return std::max(16u, granules / 1024); }

  // 0 < granules <= kGranulesMax.
  explicit SlabAllocator(uint32_t granules);
  ~SlabAllocator();

  // nullopt when fewer than `granules` granules are free, or when they would be more than
  // ExtentsMax(granules) extents: the caller evicts a block and asks again. granules > 0.
  std::optional<SlabRef> Allocate(uint32_t granules);
  // Aborts unless `slab` is allocated (a double free is a bug of ours), and so does ExtentsOf.
  void Free(SlabRef slab);
  // In the order of the slab's bytes.
  Extents ExtentsOf(SlabRef slab) const;

  uint32_t free_granules() const;
  uint32_t total_granules() const;

 private:
  class GranuleRuns;
  std::unique_ptr<GranuleRuns> runs_;
};

}  // namespace larder::server
