// The Migrate verb: moves blocks between memory and SSD in the background. Nothing here is on the
// path of a reply, but for a put that asked for durability.
//
//   write-behind  what BlockStore queued (every block, or those that earned it) goes to SSD in the
//                 order in which it came, ancestors first. So memory can be given up at once when it
//                 is needed; a block that pressure overtakes is evicted and counted.
//   recode        where the operator's plan says so, the frame is encoded again on its way to SSD.
//   sweep         what should be on SSD and is not (the queue was full, the device had failed) is
//                 queued again, a slice of the index at a time.
//   room on SSD   before each write the coldest blocks that are on SSD alone go, lowest priority
//                 first, never one of higher priority than the block that comes.
//   promotion     a frame that a get read from SSD is copied into memory, as a hint: when there is
//                 no time or room it is not.
//   persist       a block and its ancestors, now, for a put that waits. For its room others of its priority lose
//                 the copies on SSD that memory keeps.
//   drain         on an orderly end what is in memory alone is written, the warmest first.
//
// Budgets: write_bytes_max and kWritesMax in flight, promote_bytes_max queued; the tier's own write
// budget per day. One thread. Thread-safe. `blocks`, `ssd` and `clock` must outlive Stop(); this must
// outlive the SSD tier, which asks it, and the last call of Persist.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/ssd/ssd_frames.h"
#include "server/ssd/ssd_tier.h"
#include "server/store/block_store.h"
#include "server/store/ssd_recode.h"

namespace larder::server {

class Migrate final : public SsdOwner {
 public:
  static constexpr size_t kWritesMax = 4096;  // blocks in flight
  // One write that a device may take; a slower one has failed.
  static constexpr auto kWriteTimeout = std::chrono::seconds(5);

  struct Options {
    BlockStore& blocks;
    SsdFrames& ssd;
    const Clock& clock;
    Metrics& metrics;
    // SsdTier::Recover and Start: first the one, then the other.
    std::function<absl::Status(const std::function<void(const SsdEntry&)>&)> recover;
    std::function<void(SsdOwner&)> start;
    uint64_t write_bytes_max = uint64_t{64} << 20;
    uint64_t promote_bytes_max = uint64_t{32} << 20;
  };
  // Fills the index with what survived, about half a us a block, before it returns.
  explicit Migrate(Options options);
  ~Migrate() override;

  // What a get has read. Takes it or lets it go; never waits.
  void Promote(const SpaceEntry& space, const PinnedFrame& frame, const SsdLocation& location);

  // Calls `done` once, on the background thread or in Stop: OK when the block and its ancestors are
  // durable, DEADLINE_EXCEEDED after `patience`. The pin is let go then.
  using Durable = std::function<void(const absl::Status&)>;
  void Persist(PinSet block, Duration patience, Durable done);

  // Writes what is in memory alone, warmest first, until `deadline`; afterwards nothing is written
  // any more. Returns how many blocks that was.
  uint64_t Drain(TimePoint deadline);

  // Ends the background thread and waits for writes in flight, kWriteTimeout at most. Further calls
  // do nothing.
  void Stop();

  // How the restart went; when not OK, nothing is moved at all.
  const absl::Status& recovered() const { return recovered_; }

  struct Stats {
    uint64_t writes = 0;          // blocks that went to SSD
    uint64_t write_bytes = 0;
    uint64_t write_failures = 0;
    uint64_t recoded = 0;         // of the writes: in another form than in memory
    uint64_t too_large = 0;       // not written: larger than a record may be
    uint64_t no_room = 0;         // not written: what is on SSD is held or of higher priority
    uint64_t promotions = 0;
    uint64_t promotions_skipped = 0;  // no time or no room
    uint64_t queued = 0;
    uint64_t in_flight_bytes = 0;
  };
  Stats stats() const;

  // SsdOwner
  std::vector<bool> Keep(std::span<const SsdEntry> entries) override;
  bool Moved(const SsdEntry& from, SsdLocation to) override;
  void Damaged(const SsdEntry& entry, const absl::Status& reason) override;

 private:
  struct Promotion {
    BlockRef block;
    SsdLocation location;
    std::shared_ptr<const SsdFrame> frame;
    const SpaceEntry* space;
  };
  struct Waiting {
    PinSet block;
    TimePoint deadline;
    Durable done;
  };

  void Run();
  absl::Status Recover();
  // One round of work; false when there was none.
  bool PromoteOne();
  bool PersistWaiting();
  bool WriteQueued();
  void Sweep();
  // Starts the write of `block` and of the ancestors that it needs first.
  enum class Attempt : uint8_t {
    kBegun,
    kNotNow,
    kNoRoom,    // what is on SSD is held or of higher priority
    kTooLarge,  // for a record on SSD
  };
  // kBegun when any was, else what stood in the way of the first.
  Attempt WriteChain(BlockRef block, bool urgent);
  Attempt WriteOne(BlockRef block, bool urgent);
  absl::Status RefusalOf(Attempt attempt) const;
  void Recode(BlockStore::SsdWrite& write);
  void Written(BlockStore::SsdWrite write, const absl::StatusOr<SsdLocation>& location);
  uint64_t RoomOnSsd();
  bool MayWrite() const;

  const Options options_;
  SsdRecoder recoder_;
  mutable std::mutex mutex_;  // with a condition variable, so not the annotated one
  std::condition_variable wake_;
  std::deque<Promotion> promotions_;
  uint64_t promotion_bytes_ = 0;
  std::vector<Waiting> waiting_;
  bool stop_ = false;

  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> in_flight_bytes_{0};
  std::atomic<uint64_t> in_flight_{0};
  std::atomic<uint64_t> writes_{0};
  std::atomic<uint64_t> write_bytes_{0};
  std::atomic<uint64_t> write_failures_{0};
  std::atomic<uint64_t> recoded_{0};
  std::atomic<uint64_t> too_large_{0};
  std::atomic<uint64_t> no_room_{0};
  std::atomic<uint64_t> promoted_{0};
  std::atomic<uint64_t> promotions_skipped_{0};
  // Until then nothing new is written: the tier refused the last one.
  std::atomic<TimePoint> write_again_{TimePoint::min()};
  BlockRef sweep_at_ = 0;
  TimePoint swept_{};
  // Of the background thread and of whoever drains.
  std::atomic<TimePoint> usage_read_{TimePoint::min()};
  std::atomic<uint64_t> room_bytes_{0};
  const absl::Status recovered_;
  std::thread thread_;
};

}  // namespace larder::server
