// Frames that failed verification, for operators: the newest kQuarantineListMax, and a count of
// all.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "proto/contract/block_key.h"
#include "proto/contract/limits.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/tier/tier.h"

namespace larder::server {

struct QuarantinedFrame {
  SpaceId space = 0;
  PrefixHash hash;
  TierKind tier = TierKind::kDram;
  std::string reason;
  TimePoint time;
};

// Thread-safe.
class QuarantineList {
 public:
  void Add(QuarantinedFrame frame) {
    MutexLock lock(mutex_);
    ++total_;
    frames_.push_back(std::move(frame));
    if (frames_.size() > kQuarantineListMax) frames_.pop_front();
  }
  std::vector<QuarantinedFrame> All() const {
    MutexLock lock(mutex_);
    return {frames_.begin(), frames_.end()};
  }
  uint64_t total() const {
    MutexLock lock(mutex_);
    return total_;
  }

 private:
  mutable Mutex mutex_;
  std::deque<QuarantinedFrame> frames_ ABSL_GUARDED_BY(mutex_);
  uint64_t total_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
