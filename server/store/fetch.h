// The Get verb: answers the blocks of one get, in order, with frames that the transport reads in
// place.
//
//   FetchSession session = store.OpenFetch(space, hashes, {.deadline = deadline});
//   session.Next([](FetchAnswer answer) { ... });   // block 0; after it the next call: block 1
//
// A frame stays readable while its PinnedFrame lives, whatever memory that is. What can not be
// answered before the deadline is a miss that says so.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/store/block_store.h"
#include "server/store/hbm_reads.h"
#include "server/store/ssd_reads.h"

namespace larder::server {

// What the verb works with; outlives every session.
struct FetchParts {
  BlockStore& blocks;
  const std::atomic<bool>& draining;  // then every further block is a miss
  const Clock& clock;
  Metrics& metrics;
  SsdReads* ssd_reads = nullptr;  // none: no block is on SSD
  HbmReads* hbm_reads = nullptr;  // none: no block is in HBM
};

// Confined to its caller: one call of Next at a time, the next one after `ready` was called. The
// space must outlive it (spaces are never removed).
class FetchSession {
 public:
  struct Options {
    Fidelity fidelity_min = Fidelity::kUnspecified;
    // Verify before answering and quarantine a damaged frame. The receiver verifies in any case.
    bool verify = false;
    // The answer must still cross the wire: a block that is not in hand kAnswerMargin before this is
    // answered MISS(over_deadline).
    TimePoint deadline = TimePoint::max();
  };
  static constexpr auto kAnswerMargin = SsdReads::kAnswerMargin;
  // Once a block must be read from SSD or HBM, as many more are begun with it: enough for a device to work
  // in parallel, and little beside the staging memory of all gets.
  static constexpr size_t kReadAheadBlocks = 8;
  static constexpr uint64_t kReadAheadBytes = uint64_t{16} << 20;

  FetchSession(const FetchParts& parts, const SpaceEntry& space, std::vector<PrefixHash> hashes,
               const Options& options);

  // Blocks that Next has not been asked for yet.
  size_t left() const { return hashes_.size() - next_; }
  // Whether Next takes time: it verifies what is in memory.
  bool verifies() const { return options_.verify; }

  // Answers the next block; left() > 0. `ready` is called exactly once: on this thread before Next
  // returns when the block is in memory, later on an I/O thread otherwise. The session must live
  // until then. Counts the hit or the miss.
  void Next(std::function<void(FetchAnswer)> ready);

 private:
  // A block that was begun; its answer or its asker comes first.
  struct Ahead;

  FetchAnswer Find(const PrefixHash& hash);
  bool Waits(const FetchAnswer& answer) const;
  void Begin(const PrefixHash& hash, FetchAnswer found);
  void ReadAhead();
  void Give(const std::function<void(FetchAnswer)>& ready, FetchAnswer answer) const;

  const FetchParts parts_;
  const SpaceEntry& space_;
  const std::vector<PrefixHash> hashes_;
  const Options options_;
  size_t next_ = 0;                           // the next that Next answers
  std::deque<std::shared_ptr<Ahead>> ahead_;  // next_ and on
  uint64_t ahead_bytes_ = 0;
};

}  // namespace larder::server
