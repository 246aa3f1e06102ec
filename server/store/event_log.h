// A bounded log of stored and removed blocks, for routers that follow the cache. The newest
// kEventsMax events are kept; a reader that falls behind is told how many it lost.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "proto/contract/block_key.h"
#include "server/base/lazy_array.h"
#include "server/base/mutex.h"

namespace larder::server {

enum class EventKind : uint8_t { kStored = 1, kRemoved = 2 };

struct BlockEvent {
  uint64_t sequence = 0;
  EventKind kind = EventKind::kStored;
  SpaceId space = 0;
  PrefixHash hash;
  PrefixHash parent;
};

// Thread-safe.
class EventLog {
 public:
  static constexpr size_t kEventsMax =
      65'536;  // 6 MiB; seconds of the fastest store, for a reader that polls ten times a second

  // A watcher for as long as it lives: without one, nothing is recorded.
  class Watcher {
   public:
    explicit Watcher(EventLog& log);
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    // Up to `max` further events of `space` (0: every space); `*lost` counts those overwritten
    // before they were read.
    std::vector<BlockEvent> Next(SpaceId space, size_t max, uint64_t* lost);

   private:
    EventLog& log_;
    uint64_t next_;
  };

  EventLog() : ring_(kEventsMax) {}

  bool watched() const { return watchers_.load(std::memory_order_relaxed) > 0; }
  uint64_t watchers() const { return watchers_.load(std::memory_order_relaxed); }
  void Record(EventKind kind, SpaceId space, const PrefixHash& hash, const PrefixHash& parent);

 private:
  Mutex mutex_;
  LazyArray<BlockEvent> ring_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_sequence_ ABSL_GUARDED_BY(mutex_) = 1;
  std::atomic<uint64_t> watchers_{0};
};

}  // namespace larder::server
