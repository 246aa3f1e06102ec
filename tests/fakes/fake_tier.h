// A tier on the heap for tests of what stands above tiers: it can be told to refuse, it notices
// every slab that was not given back, and its slabs are always in pieces, so nobody may rely on
// contiguity.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "server/base/check.h"
#include "server/base/mutex.h"
#include "server/tier/tier.h"

namespace larder::server {

// Thread-safe. Slabs are numbered from 0 and numbers are not used again, so a stale one is found
// out.
class FakeTier final : public Tier {
 public:
  explicit FakeTier(uint64_t budget_bytes, TierKind kind = TierKind::kDram)
      : kind_(kind), budget_bytes_(budget_bytes / kGranuleBytes * kGranuleBytes) {}

  // The next `count` calls of Reserve return nullopt whatever room there is.
  void FailNextReserves(int count) {
    MutexLock lock(mutex_);
    reserves_to_fail_ = count;
  }
  // Slabs reserved and not yet freed: 0 at the end of a test, or something leaked.
  uint64_t live_slabs() const { return usage().slabs; }

  TierKind kind() const override { return kind_; }

  std::optional<SlabRef> Reserve(uint64_t bytes) override {
    LARDER_CHECK(bytes > 0);
    MutexLock lock(mutex_);
    if (reserves_to_fail_ > 0) {
      --reserves_to_fail_;
      return std::nullopt;
    }
    if (bytes > budget_bytes_ - used_bytes_) return std::nullopt;
    const uint64_t rounded = (bytes + kGranuleBytes - 1) / kGranuleBytes * kGranuleBytes;
    used_bytes_ += rounded;
    slabs_.emplace(next_slab_, std::vector<std::byte>(rounded));
    return next_slab_++;
  }

  // The first granule, then the rest.
  ByteSpans SpansOf(SlabRef slab, uint64_t bytes) const override {
    MutexLock lock(mutex_);
    std::vector<std::byte>& memory = slabs_.at(slab);
    LARDER_CHECK(bytes <= memory.size());
    const std::span<std::byte> all(memory.data(), bytes);
    const uint64_t cut = std::min(bytes, kGranuleBytes);
    ByteSpans spans = {all.first(cut)};
    if (cut < bytes) spans.push_back(all.subspan(cut));
    return spans;
  }

  void Free(SlabRef slab) override {
    MutexLock lock(mutex_);
    const auto found = slabs_.find(slab);
    LARDER_CHECK(found != slabs_.end());
    used_bytes_ -= found->second.size();
    slabs_.erase(found);
  }

  TierUsage usage() const override {
    MutexLock lock(mutex_);
    return {.budget_bytes = budget_bytes_, .used_bytes = used_bytes_, .slabs = slabs_.size()};
  }

 private:
  const TierKind kind_;
  const uint64_t budget_bytes_;
  mutable Mutex mutex_;
  mutable std::map<SlabRef, std::vector<std::byte>> slabs_ ABSL_GUARDED_BY(mutex_);
  uint64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  SlabRef next_slab_ ABSL_GUARDED_BY(mutex_) = 0;
  int reserves_to_fail_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
