// Reads of blocks that are on SSD alone, for gets: concurrent reads of one block collapse into one,
// each waiter is answered by its own deadline, a damaged copy is withdrawn, and what was read is
// offered for promotion into memory.
//
// A read takes staging memory of the tier, which bounds it: without any the answer is MISS(busy). A
// device that fails or is gone answers MISS(busy) too: later it may be back.
//
// Thread-safe. `blocks`, `ssd`, `clock` and `metrics` must outlive it, and it every read: the tier
// ends all of them before it is gone. No thread waits here.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/ssd/ssd_frames.h"
#include "server/store/block_store.h"

namespace larder::server {

using FetchAnswer = std::variant<PinnedFrame, MissReason>;

class SsdReads {
 public:
  // A frame that a read brought, for whoever promotes.
  using Promote = std::function<void(const SpaceEntry& space, const PinnedFrame& frame,
                                     const SsdLocation& location)>;

  struct Options {
    BlockStore& blocks;
    SsdFrames& ssd;
    const Clock& clock;
    Promote promote;  // must not block
  };
  // Calls without a deadline wait at most this long for a device.
  static constexpr auto kPatience = std::chrono::seconds(10);
  // An answer later than this before the deadline would not cross the wire in time.
  static constexpr auto kAnswerMargin = std::chrono::milliseconds(2);
  // How often a read is begun although it may well end too late.
  static constexpr auto kProbeEvery = std::chrono::milliseconds(100);

  explicit SsdReads(Options options) : options_(std::move(options)) {}

  // `pinned` is a block on SSD alone, as BlockStore::PinFrame gave it. `done` is called exactly once, on
  // this thread when there is nothing to wait for, and by the deadline.
  void Read(const SpaceEntry& space, const PrefixHash& hash, PinnedFrame pinned, TimePoint deadline,
            std::function<void(FetchAnswer)> done);

  uint64_t collapsed() const { return collapsed_.load(std::memory_order_relaxed); }

 private:
  struct Waiter {
    const SpaceEntry* space;
    PrefixHash hash;
    PinnedFrame pinned;
    TimePoint deadline;
    std::function<void(FetchAnswer)> done;
    int attempts = 0;
  };
  struct InFlight {
    TimePoint deadline;
    std::vector<Waiter> waiters;
  };
  static constexpr int kAttemptsMax = 3;  // a record may move while it is read, seldom twice

  bool MayProbe(TimePoint now);
  void Start(Waiter waiter);
  void End(std::shared_ptr<InFlight> read, BlockRef block, const BlockStore::SsdPlace& place,
           TimePoint begun, absl::StatusOr<SsdFrame> frame);
  void Deliver(Waiter waiter, const std::shared_ptr<const SsdFrame>& frame,
               const SsdLocation& location);
  void Fail(Waiter waiter, const SsdLocation& location, const absl::Status& status);

  const Options options_;
  Mutex mutex_;
  absl::flat_hash_map<BlockRef, std::shared_ptr<InFlight>> in_flight_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> collapsed_{0};
  std::atomic<int64_t> usual_ns_{0};  // what reads that came through took lately
  std::atomic<TimePoint> probed_{TimePoint::min()};
};

}  // namespace larder::server
