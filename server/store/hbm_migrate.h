// Moves blocks from memory to HBM in the background, and watches over what is there.
//
//   memory  ->  HBM   When less of memory is free than a reserve, the coldest blocks are copied to the
//                     device, children or not; their memory is free once the copy has ended. A block
//                     that somebody pinned meanwhile stays. What a put needs at once and this has not
//                     freed yet is evicted as without HBM.
//   HBM  ->  out      Room for them is made among the coldest in HBM, lowest priority first: a block
//                     that is on SSD too lies there alone then, any other is evicted, tail first.
//   HBM  ->  memory   A get reads a block back (hbm_reads.h). So does a block whose descendants wait to
//                     be written to SSD: nothing is written from HBM.
//
// So a block lies in memory or in HBM, never in both: their sizes add up, and moving costs no copy that
// is kept. A device that fails a copy is left alone for kFailedPause. When it is lost, what lay there
// becomes a miss or is served from SSD, once and for all: a process does not get it back.
//
// Budgets: bytes_max and kMovesMax in flight. One thread, which waits for nothing but its next turn.
// Thread-safe. What the options name must outlive Stop().
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/store/block_store.h"
#include "server/store/hbm_reads.h"
#include "server/tier/device_tier.h"
#include "server/tier/tier.h"

namespace larder::server {

class HbmMigrate {
 public:
  static constexpr uint64_t kMovesMax = 64;
  static constexpr auto kFailedPause = std::chrono::milliseconds(200);

  struct Options {
    BlockStore& blocks;
    Tier& dram;
    DeviceTier& hbm;
    HbmReads& reads;
    const Clock& clock;
    const std::atomic<bool>& draining;  // then nothing moves to HBM any more
    uint64_t bytes_max = uint64_t{64} << 20;
  };
  explicit HbmMigrate(const Options& options);
  ~HbmMigrate();

  // There is something to do.
  void Wake();
  // Ends the thread and waits for the device's copies, which the arena bounds.
  void Stop();

  struct Stats {
    uint64_t moved = 0;  // blocks that went to HBM
    uint64_t moved_bytes = 0;
    uint64_t skipped = 0;  // used while they moved, or the copy failed
    bool lost = false;     // the device
  };
  Stats stats() const;

 private:
  void Run();
  void Lose();
  void BringWanted();
  void MoveOut();
  bool NeedsRoom() const;
  void Moved(BlockStore::HbmMove move, CopyEnd end);

  const Options options_;
  Mutex mutex_;
  CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;

  std::atomic<uint64_t> moving_{0};
  std::atomic<uint64_t> moving_bytes_{0};
  std::atomic<uint64_t> moved_{0};
  std::atomic<uint64_t> moved_bytes_{0};
  std::atomic<uint64_t> skipped_{0};
  std::atomic<TimePoint> move_again_{TimePoint::min()};
  // Confined to the thread.
  uint64_t frame_bytes_seen_ = 0;  // of the largest
  bool lost_ = false;
  TimePoint swept_{};
  std::thread thread_;  // last: it uses the rest
};

}  // namespace larder::server
