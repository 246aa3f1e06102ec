// A small arena on the heap. Page-aligned, zeroed.
#pragma once

#include <vector>

#include "server/memory/arena.h"
#include "server/memory/slab_allocator.h"

namespace larder::server {

class FakeArena final : public Arena {
 public:
  explicit FakeArena(size_t pages) : pages_(pages) {}
  std::span<std::byte> memory() const override {
    return {reinterpret_cast<std::byte*>(pages_.data()), pages_.size() * kPageBytes};
  }

 private:
  struct alignas(kPageBytes) Page {
    std::byte bytes[kPageBytes] = {};
  };
  mutable std::vector<Page> pages_;
};

}  // namespace larder::server
