#include "server/tier/memory_tier.h"

#include <algorithm>

#include "server/base/check.h"
#include "server/base/fault_point.h"

namespace larder::server {

MemoryTier::MemoryTier(TierKind kind, Arena& arena)
    : kind_(kind),
      memory_(arena.memory()),
      slabs_(static_cast<uint32_t>(
          std::min<uint64_t>(memory_.size() / kGranuleBytes, SlabAllocator::kGranulesMax))) {}

std::optional<SlabRef> MemoryTier::Reserve(uint64_t bytes) {
  LARDER_CHECK(bytes > 0);
  if (FaultAt("slab.reserve") != 0) return std::nullopt;
  if (bytes > memory_.size()) return std::nullopt;
  const uint64_t granules = (bytes + kGranuleBytes - 1) / kGranuleBytes;
  MutexLock lock(mutex_);
  // Compared before it is narrowed: a partial granule at the arena's end makes it more than there
  // are.
  if (granules > slabs_.free_granules()) return std::nullopt;
  const std::optional<SlabRef> slab = slabs_.Allocate(static_cast<uint32_t>(granules));
  if (slab.has_value()) ++slabs_live_;
  return slab;
}

ByteSpans MemoryTier::SpansOf(SlabRef slab, uint64_t bytes) const {
  Extents extents;
  {
    MutexLock lock(mutex_);
    extents = slabs_.ExtentsOf(slab);
  }
  ByteSpans spans;
  for (const Extent& extent : extents) {
    const uint64_t length = std::min(bytes, extent.granules * kGranuleBytes);
    if (length == 0) break;
    spans.push_back(memory_.subspan(extent.first_granule * kGranuleBytes, length));
    bytes -= length;
  }
  LARDER_CHECK(bytes == 0);  // more than was reserved
  return spans;
}

void MemoryTier::Free(SlabRef slab) {
  FaultAt("slab.free");
  MutexLock lock(mutex_);
  slabs_.Free(slab);
  --slabs_live_;
}

TierUsage MemoryTier::usage() const {
  MutexLock lock(mutex_);
  const uint64_t total = slabs_.total_granules();
  return {.budget_bytes = total * kGranuleBytes,
          .used_bytes = (total - slabs_.free_granules()) * kGranuleBytes,
          .slabs = slabs_live_};
}

}  // namespace larder::server
