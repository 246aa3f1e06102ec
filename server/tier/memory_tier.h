// A tier over an arena: the DRAM tier over host memory, the HBM tier over device memory.
// The budget is the arena's whole granules. Reserved memory is not cleared.
#pragma once

#include "server/base/mutex.h"
#include "server/memory/arena.h"
#include "server/memory/slab_allocator.h"
#include "server/tier/tier.h"

namespace larder::server {

// Thread-safe. Every call holds one mutex for O(extents) records of bookkeeping (well below a
// microsecond as a rule) and never touches the arena's memory under it.
class MemoryTier final : public Tier {
 public:
  // `arena` must outlive this and hold at least one granule.
  MemoryTier(TierKind kind, Arena& arena);

  TierKind kind() const override { return kind_; }
  std::optional<SlabRef> Reserve(uint64_t bytes) override;
  ByteSpans SpansOf(SlabRef slab, uint64_t bytes) const override;
  void Free(SlabRef slab) override;
  TierUsage usage() const override;

 private:
  const TierKind kind_;
  const std::span<std::byte> memory_;
  mutable Mutex mutex_;
  SlabAllocator slabs_ ABSL_GUARDED_BY(mutex_);
  uint64_t slabs_live_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
