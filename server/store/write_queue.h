// Blocks that wait to be written to SSD, in the order in which they came; each knows in the block
// index that it waits (so it waits once).
#pragma once

#include <cstddef>
#include <deque>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "server/base/mutex.h"
#include "server/policy/eviction_order.h"

namespace larder::server {

// Thread-safe. A block that goes while it waits is the taker's to notice.
class WriteQueue {
 public:
  static constexpr size_t kBlocksMax = size_t{1} << 20;  // 4 MiB; what is refused is swept up later

  // False when full.
  bool Push(BlockRef block) {
    MutexLock lock(mutex_);
    if (blocks_.size() >= kBlocksMax) return false;
    blocks_.push_back(block);
    return true;
  }
  std::optional<BlockRef> Pop() {
    MutexLock lock(mutex_);
    if (blocks_.empty()) return std::nullopt;
    const BlockRef block = blocks_.front();
    blocks_.pop_front();
    return block;
  }
  size_t size() const {
    MutexLock lock(mutex_);
    return blocks_.size();
  }

 private:
  mutable Mutex mutex_;
  std::deque<BlockRef> blocks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
