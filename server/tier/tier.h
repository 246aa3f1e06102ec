// A tier: a bounded place that holds frames. It knows bytes and slabs, never keys; the store
// decides what lives where.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "server/base/tier_usage.h"
#include "server/memory/slab_allocator.h"
#include "server/tier/byte_spans.h"

namespace larder::server {

// Thread-safe.
class Tier {
 public:
  virtual ~Tier() = default;
  virtual TierKind kind() const = 0;
  // Room for `bytes` > 0 bytes, or nullopt when the budget has none left: the caller evicts and
  // asks again.
  virtual std::optional<SlabRef> Reserve(uint64_t bytes) = 0;
  // The slab's memory, in order, `bytes` bytes in all (at most what was reserved). Valid until
  // Free.
  virtual ByteSpans SpansOf(SlabRef slab, uint64_t bytes) const = 0;
  virtual void Free(SlabRef slab) = 0;
  virtual TierUsage usage() const = 0;
};

// Owns a reserved slab until it is published (Detach) or dropped. Move-only. The tier must outlive
// it.
class SlabHandle {
 public:
  SlabHandle() = default;
  SlabHandle(Tier* tier, SlabRef slab, uint64_t bytes) : tier_(tier), slab_(slab), bytes_(bytes) {}
  ~SlabHandle() { Reset(); }
  SlabHandle(SlabHandle&& other) noexcept { Swap(other); }
  SlabHandle& operator=(SlabHandle&& other) noexcept {
    Swap(other);
    return *this;
  }

  explicit operator bool() const { return tier_ != nullptr; }
  SlabRef slab() const { return slab_; }
  uint64_t bytes() const { return bytes_; }
  ByteSpans spans() const { return tier_->SpansOf(slab_, bytes_); }
  // Gives up ownership: the caller now answers for Tier::Free.
  SlabRef Detach() {
    tier_ = nullptr;
    return std::exchange(slab_, kNoSlab);
  }
  void Reset() {
    if (tier_ != nullptr) tier_->Free(slab_);
    tier_ = nullptr;
  }

 private:
  void Swap(SlabHandle& other) {
    std::swap(tier_, other.tier_);
    std::swap(slab_, other.slab_);
    std::swap(bytes_, other.bytes_);
  }
  Tier* tier_ = nullptr;
  SlabRef slab_ = kNoSlab;
  uint64_t bytes_ = 0;
};

}  // namespace larder::server
