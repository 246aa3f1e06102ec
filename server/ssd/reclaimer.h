// Empties segments so that they can be filled again: asks the owner which records are still wanted,
// verifies and rewrites those, erases the others. One segment at a time, on the maintenance thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/ssd/catalog.h"
#include "server/ssd/committer.h"
#include "server/ssd/device.h"
#include "server/ssd/frame_reader.h"
#include "server/ssd/segment_table.h"
#include "server/ssd/segment_writer.h"
#include "server/ssd/ssd_counters.h"
#include "server/ssd/ssd_tier.h"

namespace larder::server {

inline constexpr size_t kKeepBatch = 256;                    // records per call of SsdOwner::Keep
inline constexpr uint64_t kMoveBytesMax = 16ull << 20;       // being moved at a time
inline constexpr std::chrono::seconds kMoveReadDeadline{5};  // of one read; the record stays then

// Confined to the maintenance thread. What it is made of must outlive it.
class Reclaimer {
 public:
  struct Parts {
    std::span<const std::unique_ptr<Device>> devices;
    SegmentTable& segments;
    Catalog& catalog;
    FrameReader& reader;
    SegmentWriter& writer;
    Committer& committer;
    SsdCounters& counters;
    const Clock& clock;
    uint64_t seed = 0;
  };
  Reclaimer(const Parts& parts, SsdOwner& owner) : parts_(parts), owner_(owner) {}

  // Reclaims the best victim; false when there is none or it could not be emptied. Blocks for the
  // time of reading what is kept, writing and committing it.
  bool ReclaimOne(const std::stop_token& stopped);

 private:
  struct Move {
    SsdEntry from;
    SsdFrame frame;
    absl::StatusOr<SsdLocation> to;
  };
  // Moves in flight; shared with their callbacks.
  struct Moves {
    Mutex mutex;
    CondVar changed;
    std::vector<std::unique_ptr<Move>> ended ABSL_GUARDED_BY(mutex);
    std::vector<std::weak_ptr<AppendOperation>> started ABSL_GUARDED_BY(mutex);
    uint64_t in_flight ABSL_GUARDED_BY(mutex) = 0;
    uint64_t bytes ABSL_GUARDED_BY(mutex) = 0;
  };

  std::vector<SsdEntry> LiveRecords(const SegmentTable::Opened& victim);
  // False: a wanted record could neither be moved nor found damaged now.
  bool MoveRecord(const SsdEntry& entry, const std::shared_ptr<Moves>& moves);
  // Waits until at most `bytes` are in flight; tells the owner about those that ended. False when one
  // failed for now.
  bool Settle(Moves& moves, uint64_t bytes, const std::stop_token& stopped);
  bool Tell(Move& move);

  const Parts parts_;
  SsdOwner& owner_;
};

}  // namespace larder::server
