// One contiguous range of memory that a tier carves into slabs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace larder::server {

// Thread-safe after construction. The range is fixed for the arena's lifetime and never touched by
// the arena itself.
class Arena {
 public:
  virtual ~Arena() = default;
  virtual std::span<std::byte> memory() const = 0;
};

}  // namespace larder::server
