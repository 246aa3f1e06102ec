// The SSD tier: frames in append-only segments on one or several devices, their names in a catalog.
// It stores, finds, verifies and reclaims; what is worth keeping is its owner's decision.
//
// Invariants
// - Data before name: the catalog names a record only after its bytes are on the device (fdatasync).
//   `done` of an append with OK means that bytes and name survive kill -9 and power loss.
// - Never wrong bytes: each record carries its key, segment, generation and a seeded checksum, each
//   frame its own checksums. A read hands a frame out only when all of them agree; otherwise it ends
//   with DATA_LOSS, and the caller quarantines the block and calls Erase.
// - A location is used once. After its segment was reclaimed a read of it is NOT_FOUND, whatever
//   lies there by then.
// - Files stay under `budget_bytes`; a disk that has less (ENOSPC) makes the tier smaller, not wrong.
// - Nothing waits for ever: every call ends by its deadline with a typed error, also on a disk that
//   stalls or is gone. Memory that the kernel may still write to is kept aside until it lets go.
// - A key has at most one record that counts: the one appended last. Erase and Retain name the
//   location they mean, so one that comes late hits nothing else.
//
// Threads: thread-safe. Callbacks (`done`, SsdOwner) run on threads of the tier, with no lock of it
// held, so they may call it; those of reads must not block (other reads wait behind them), and no
// callback may destroy the tier. The destructor commits what was appended (bounded by its deadlines),
// waits for I/O in flight, and calls every `done` that is left with UNAVAILABLE.
// Ownership: nothing is kept of a frame's memory after `done` of its append. An SsdFrame owns staging
// memory of the tier and must not outlive it.
// Errors, of every call: UNAVAILABLE device failing, offline or closing (retry later, a miss now);
// DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED queue full, no room or the day's write budget spent; DATA_LOSS
// damaged; NOT_FOUND stale location; INVALID_ARGUMENT key or size out of range.
// Cost: read: one I/O of the record rounded outward to 4 KiB and one checksum pass, no copy. Append:
// one copy into a write buffer; frames are packed at 64 bytes. No memory per record except
// RocksDB's configured caches.
//
//   auto tier = SsdTier::Open({.directories = {"ssd"}, .budget_bytes = 64ull << 30}, clock);
//   (*tier)->Recover([&](const SsdEntry& entry) { index.Restore(entry); });
//   (*tier)->Start(owner);
//   (*tier)->Append({.record = record, .frame = spans, .deadline = clock.Now() + 5s},
//                   [](absl::StatusOr<SsdLocation> location) { ... });
//   (*tier)->Read({.key = record.key, .location = location, .deadline = clock.Now() + 1s},
//                 [](absl::StatusOr<SsdFrame> frame) { ... frame->bytes() ... });
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/ssd/ssd_frames.h"
#include "server/ssd/ssd_options.h"
#include "server/ssd/ssd_record.h"

namespace larder::server {

inline constexpr uint32_t kSegmentsMin = 4;  // per directory: two open, one in reserve, one sealed

// What the tier asks of whoever keeps the index over all tiers. Called from the tier's own
// maintenance thread, one call at a time, no lock held; may block briefly. A fake in tests.
class SsdOwner {
 public:
  virtual ~SsdOwner() = default;
  // The segment of these records (at most 256 a call) is to be reused: which are still wanted, by
  // position. What is not wanted is erased from the catalog by the tier: the owner drops its
  // location before it returns. Reads in flight of either kind end normally. What is wanted is
  // verified and written again, which costs its bytes of write amplification: an owner that lets go
  // of what it would evict soon anyway (the last fifth of an LRU, unless pinned) writes a third less.
  virtual std::vector<bool> Keep(std::span<const SsdEntry> entries) = 0;
  // A wanted record lies at `to` from now on, durably; `from.location` is stale when this returns.
  // False: no longer wanted, the tier erases it.
  virtual bool Moved(const SsdEntry& from, SsdLocation to) = 0;
  // Reclaim or the scrubber found this record damaged or unreadable: quarantine it and drop its location; the tier
  // has erased its name.
  virtual void Damaged(const SsdEntry& entry, const absl::Status& reason) = 0;
};

class SsdTier final : public SsdFrames {
 public:
  // Locks the directories, makes or checks their files, opens the catalog. A catalog that does not
  // open is set aside and Recover rebuilds it. `clock` must outlive the tier.
  // INVALID_ARGUMENT: options; FAILED_PRECONDITION: directory in use, of another version or of
  // another tier; UNAVAILABLE: a directory can not be made or read.
  static absl::StatusOr<std::unique_ptr<SsdTier>> Open(SsdOptions options, const Clock& clock);
  ~SsdTier() override;

  // Visits every record that survived, in no order; call once, before Start and Append. Entries that
  // are damaged or point nowhere are dropped and counted. A catalog that turns out to be damaged is
  // rebuilt from the segments' record headers on the way; then a key may be visited again, and the
  // last visit counts. Frames are not read here: reads and the scrubber verify them.
  // About a microsecond per record; when it rebuilds, one small read per record.
  absl::Status Recover(const std::function<void(const SsdEntry&)>& visit);
  // Begins reclaim and scrubbing, which ask `owner`. It must outlive the tier. Call once.
  void Start(SsdOwner& owner);

  absl::Status Append(SsdAppend append,
                      std::function<void(absl::StatusOr<SsdLocation>)> done) override;
  void Read(const SsdRead& read, std::function<void(absl::StatusOr<SsdFrame>)> done) override;
  void Erase(std::string_view key, SsdLocation location) override;
  void Retain(std::string_view key, SsdLocation location, const SsdRetention& retention) override;
  absl::Status Flush(TimePoint deadline) override;
  // The first device's directory, where lies what belongs to the whole tier.
  const std::string& home() const;
  // No segment has ever been written.
  bool is_new() const;
  // The name as it stands in the catalog now, for tests. Blocks for up to a catalog read.
  absl::StatusOr<std::optional<SsdEntry>> Find(std::string_view key);
  uint64_t frame_bytes_max() const override;
  SsdHealth health() const override;
  SsdUsage usage() const override;

 private:
  class Engine;
  explicit SsdTier(std::unique_ptr<Engine> engine);
  std::unique_ptr<Engine> engine_;
};

}  // namespace larder::server
