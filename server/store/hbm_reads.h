// Reads of blocks that are in HBM, for gets: the frame is copied into a slab of memory, verified, and
// lies there from then on, so a read is a move back as well. Concurrent reads of one block are one.
//
// A block that can not be read (no room, too many copies, the copy failed, the device is lost) is read
// from SSD where it has a copy that is good enough, and is MISS(busy) otherwise; a damaged one is
// quarantined. A waiter whose deadline comes first is answered MISS(over_deadline) by EndLate; the
// copy ends without it.
//
// Bounds  bytes_max of memory in copies, or one block; the arena's limit of copies. Thread-safe; `done` runs on the
// caller's thread, the arena's, or the one that calls EndLate. No thread waits here. What the options
// name must outlive it, and it every copy of the tier.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/store/block_store.h"
#include "server/store/ssd_reads.h"
#include "server/tier/device_tier.h"

namespace larder::server {

class HbmReads {
 public:
  struct Options {
    BlockStore& blocks;
    DeviceTier& tier;
    const Clock& clock;
    SsdReads* ssd = nullptr;  // none: no block is on SSD
    uint64_t bytes_max = uint64_t{64} << 20;
    std::function<void()> begun;  // there is something for EndLate; must not block
  };
  explicit HbmReads(Options options) : options_(std::move(options)) {}

  // As SsdReads::Read, of a block in HBM. `done` is called exactly once.
  void Read(const SpaceEntry& space, const PrefixHash& hash, PinnedFrame pinned, TimePoint deadline,
            std::function<void(FetchAnswer)> done);
  // Moves a block back that nobody reads.
  void Bring(PinSet block);
  // Answers those whose deadline has come. Returns how many blocks are being read.
  size_t EndLate();

  struct Stats {
    uint64_t brought = 0;   // blocks that came back to memory
    uint64_t failures = 0;  // copies that failed or were not begun
    uint64_t damaged = 0;
    uint64_t late = 0;  // waiters
  };
  Stats stats() const;

 private:
  struct Waiter {
    const SpaceEntry* space;
    PrefixHash hash;
    PinnedFrame pinned;
    TimePoint deadline;
    std::function<void(FetchAnswer)> done;
  };
  // Whoever puts a block into `reading_` is the only one to read it, until End.
  struct Copy {
    PinSet pin;
    PrefixHash hash;  // empty when nobody waits
    const SpaceEntry* space;
    SlabHandle slab;
  };

  void Begin(PinSet pin, const PrefixHash& hash);
  void Copied(const std::shared_ptr<Copy>& copy, CopyEnd end);
  // Empty when the frame is whole and lies in memory now.
  std::string_view Take(Copy& copy);
  // Answers the waiters from where the block lies now; `miss` when that is nowhere.
  void End(BlockRef block, MissReason miss);
  void Answer(Waiter waiter, MissReason miss);

  const Options options_;
  Mutex mutex_;
  absl::flat_hash_map<BlockRef, std::vector<Waiter>> reading_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> brought_{0};
  std::atomic<uint64_t> failures_{0};
  std::atomic<uint64_t> damaged_{0};
  std::atomic<uint64_t> late_{0};
};

}  // namespace larder::server
