// Page-aligned memory for I/O, carved from a part of one mapping, so that io_uring can register all
// of it once. Contiguous pieces, first fit; a piece is neither cleared nor touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "server/base/mutex.h"

namespace larder::server {

// Thread-safe. O(log pieces) to give back, O(free pieces) to take.
class StagingPool {
 public:
  // Aligned to kIoAlignment; must outlive this.
  explicit StagingPool(std::span<std::byte> memory);

  // At least `bytes`, rounded up to kIoAlignment; empty when no free piece is long enough.
  std::span<std::byte> Take(uint64_t bytes);
  void Give(std::span<std::byte> piece);  // exactly what Take returned

  std::span<std::byte> memory() const { return memory_; }
  uint64_t used_bytes() const;

 private:
  const std::span<std::byte> memory_;
  mutable Mutex mutex_;
  std::map<uint64_t, uint64_t> free_ ABSL_GUARDED_BY(mutex_);  // offset -> bytes
  uint64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
