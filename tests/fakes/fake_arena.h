// A small arena on the heap. Granule-aligned, zeroed.
#pragma once

#include <vector>

#include "server/memory/arena.h"
#include "server/memory/slab_allocator.h"

namespace larder::server {

class FakeArena final : public Arena {
 public:
  explicit FakeArena(size_t granules) : granules_(granules) {}
  std::span<std::byte> memory() const override {
    return {reinterpret_cast<std::byte*>(granules_.data()), granules_.size() * kGranuleBytes};
  }

 private:
  struct alignas(kGranuleBytes) Granule {
    std::byte bytes[kGranuleBytes] = {};
  };
  mutable std::vector<Granule> granules_;
};

}  // namespace larder::server
