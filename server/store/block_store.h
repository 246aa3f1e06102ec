// The resident blocks: the block index, the tier that holds their frames, and the lock around both.
// The verbs (lookup, ingest, fetch, retain) are written on top of it and hold nothing but the
// handles it gives.
//
// Locking  One mutex guards the index; it is held for at most kBlocksPerLock blocks at a time and
// never during a copy, a checksum or a call that can wait. Inside it only the tier's, metrics' and
// event log's own short locks are taken. Thread-safe. Must outlive its handles.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "kernels/format/frame.h"
#include "proto/contract/convert.h"
#include "proto/contract/outcomes.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/ssd/ssd_frames.h"
#include "server/store/block_index.h"
#include "server/store/event_log.h"
#include "server/store/quarantine_list.h"
#include "server/store/space_table.h"
#include "server/store/tenant_accounts.h"
#include "server/store/write_queue.h"
#include "server/tier/device_tier.h"
#include "server/tier/tier.h"

namespace larder::server {

class BlockStore;

// Whether every stream of the frame stands raw.
bool IsRaw(const FrameView& frame);

// Blocks held in memory until this is destroyed. Move-only.
class PinSet {
 public:
  PinSet() = default;
  PinSet(BlockStore* store, std::vector<BlockRef> blocks)
      : store_(store), blocks_(std::move(blocks)) {}
  ~PinSet() { Reset(); }
  PinSet(PinSet&& other) noexcept { *this = std::move(other); }
  PinSet& operator=(PinSet&& other) noexcept {
    std::swap(store_, other.store_);
    std::swap(blocks_, other.blocks_);
    return *this;
  }
  bool empty() const { return blocks_.empty(); }
  std::span<const BlockRef> blocks() const { return blocks_; }
  void Reset();
  // The pins have been let go otherwise.
  void Detach() {
    store_ = nullptr;
    blocks_.clear();
  }

 private:
  BlockStore* store_ = nullptr;
  std::vector<BlockRef> blocks_;
};

// One block's frame, readable as long as this lives. Move-only.
struct PinnedFrame {
  PinSet pin;
  ByteSpans spans;  // frame_bytes in all; none while the frame is not in memory
  Residency residency;
  std::shared_ptr<const SsdFrame> staged;  // the spans' memory when it is no slab
};

// Which blocks are written to SSD at all.
enum class SsdAdmission : uint8_t {
  kAll,        // every block
  kSecondUse,  // those that were used after they were stored, or have more than the default priority
};

class BlockStore {
 public:
  static constexpr size_t kBlocksPerLock =
      256;  // about 10 us: what a lookup may cost a concurrent one
  static constexpr size_t kExpiriesPerOperation =
      16;  // keeps expiry timely between the janitor's rounds

  struct Options {
    Tier& dram;
    size_t blocks_max;
    EvictionOrderFactory order;
    std::array<uint8_t, Fingerprinter::kSecretBytes> fingerprint_secret;
    const Clock& clock;
    SpaceTable& spaces;
    EventLog& events;
    QuarantineList& quarantine;
    Metrics& metrics;
    const TenantAccounts& tenants;
    SsdFrames* ssd = nullptr;  // none, and no `hbm`: memory is all there is
    SsdAdmission admission = SsdAdmission::kAll;
    DeviceTier* hbm = nullptr;
  };
  explicit BlockStore(const Options& options);

  struct Prefix {
    std::vector<Residency> blocks;
    MissReason miss_reason = MissReason::kNone;
    PinSet pins;  // of all blocks, when asked for
  };
  // The longest resident prefix. With `pin`, its blocks are pinned as they are found and then
  // touched; without, nothing changes.
  Prefix FindPrefix(const SpaceEntry& space, std::span<const PrefixHash> hashes,
                    Fidelity fidelity_min, bool pin);

  // A block's frame after comparing the whole key in its header, or why there is none. A block that
  // is not in memory is pinned without its frame: residency.in_memory() is false.
  std::variant<PinnedFrame, MissReason> PinFrame(const SpaceEntry& space, const PrefixHash& hash,
                                                 Fidelity fidelity_min);

  // A pin on a live block without reading it; empty when absent.
  PinSet PinBlock(const SpaceEntry& space, const PrefixHash& hash);

  // What PinFrame would answer now of a block that it has pinned: where its frame lies may have changed.
  std::variant<PinnedFrame, MissReason> PinnedAgain(const SpaceEntry& space, const PrefixHash& hash,
                                                    PinSet block);

  // Another pin on a pinned block.
  PinSet PinAgain(const PinSet& block);

  // Room for a frame of the space's tenant, within its quota, evicting what may go for one of this
  // priority; an empty handle when nothing more may.
  SlabHandle Reserve(const SpaceEntry& space, uint64_t frame_bytes, uint8_t priority);

  struct Candidate {
    const SpaceEntry& space;
    const FrameView& frame;
    const RetentionSpec& retention;
    const PinSet& parent;  // empty for the first block of a chain
    // What it will be stored as, when the frame is to be encoded first.
    std::optional<Fidelity> stored_fidelity;
  };
  // What Publish would answer if it came now; kStored when nothing stands in the way.
  PutOutcome Check(const Candidate& candidate) const;
  struct Published {
    PutOutcome outcome;
    PinSet
        pin;  // of the block that is now resident under this key, when kStored or kAlreadyPresent
  };
  // Makes a complete, verified frame visible. The slab is freed unless stored.
  Published Publish(const Candidate& candidate, SlabHandle slab);

  // Touches a block and its ancestors, so that the deepest is the coldest of them.
  void TouchAncestors(const PinSet& block);

  // Counts the damage, lists it, and makes the block a miss.
  void Quarantine(const SpaceEntry& space, const PrefixHash& hash, const PinnedFrame& frame,
                  std::string_view reason);

  // Blocks that were resident.
  size_t Retain(const SpaceEntry& space, std::span<const PrefixHash> hashes,
                const RetentionSpec& retention);

  struct Evicted {
    uint64_t evicted = 0;
    uint64_t held = 0;
  };
  // Operators' removal: those blocks and their descendants, or every block of the space when
  // `hashes` is empty. O(resident blocks).
  Evicted Evict(const SpaceEntry& space, std::span<const PrefixHash> hashes);

  // Expires what is due. Called by the janitor and, in small steps, by every operation.
  void Advance();

  // --- Copies on SSD (block_store_tiers.cc) ---
  // Blocks that wait to be written to SSD.
  WriteQueue& write_queue() { return write_queue_; }
  // Where a pinned block lies on SSD, and under what name; nullopt when it does not.
  struct SsdPlace {
    std::string key;
    SsdLocation location;
  };
  std::optional<SsdPlace> SsdPlaceOf(const PinSet& block) const;
  // The block whose copy on SSD is at `from` gets this one of the same frame in memory. False when it
  // has one, or its copy is elsewhere by now; then the slab is freed.
  bool Promote(BlockRef block, const SsdLocation& from, SlabHandle slab);
  // 0 when it has gone.
  uint8_t PriorityOf(BlockRef block) const;

  // A write of one block to SSD. Its frame stays where it is until EndWrite.
  struct SsdWrite {
    PinSet pin;
    const SpaceEntry* space = nullptr;
    ByteSpans spans;
    std::vector<std::byte> recoded;  // what the spans show, when that is not the frame in memory
    SsdRecord record;
    RetentionTicks retention;  // that the record names
    SsdCopy copy;              // without its location
  };
  // `block` and those of its ancestors that must be written before it, head first; empty when it is
  // on SSD, or can not go there. At most `limit`: the first ones.
  std::vector<BlockRef> UnwrittenChain(BlockRef block, size_t limit);
  // A block that was taken from the write queue.
  void Dequeued(BlockRef block);
  // nullopt when the block is gone, written or being written.
  std::optional<SsdWrite> BeginWrite(BlockRef block);
  // The write has ended: at `location`, or (none) in failure.
  void EndWrite(SsdWrite write, std::optional<SsdLocation> location);
  // Whether a pinned block and its ancestors are on SSD, or it is on its way there; or it has expired or was removed,
  // and only its pins keep it.
  enum class Written : uint8_t { kNo, kUnderWay, kYes, kGone };
  Written WrittenOf(const PinSet& block);
  // Evicts from SSD, lowest priority and coldest first, until `bytes` more are within `bytes_max`. False when
  // what is left is held, in memory too, of higher priority, or kept for other tenants' reserves.
  bool MakeRoomOnSsd(uint64_t bytes, uint64_t bytes_max, const SsdNeed& need);
  // The write is not begun, and no other of the block as it is: it does not fit.
  void RefuseWrite(SsdWrite write);
  // Queues what should be on SSD and waits nowhere, of the entries [begin, begin + kScanStep);
  // returns where to go on, 0 at the end.
  BlockRef SweepUnwritten(BlockRef begin);
  // Blocks in memory, warmest first, for a store that takes nothing more.
  std::vector<BlockRef> WarmestFirst();

  // The owner's answers to the SSD tier (ssd_tier.h).
  std::vector<bool> KeepOnSsd(std::span<const SsdEntry> entries);
  bool MovedOnSsd(const SsdEntry& from, const SsdLocation& to);
  void DamagedOnSsd(const SsdEntry& entry, std::string_view reason);
  // A pinned block's frame on SSD is damaged: as Quarantine, for the copy at `location`.
  void QuarantineSsd(const SpaceEntry& space, const PrefixHash& hash, const PinSet& block,
                     const SsdLocation& location, std::string_view reason);

  // --- Copies in HBM (block_store_hbm.cc) ---
  // A block on its way from memory to HBM. Its frame stays where it is until EndHbmMove.
  struct HbmMove {
    PinSet pin;
    ByteSpans spans;
    SlabRef slab = kNoSlab;  // of HBM
    uint32_t origin_tag = 0;
  };
  // Takes the coldest block of memory and makes room for it in HBM, where colder ones go, lowest
  // priority first. nullopt when nothing may move, or what is in HBM is held or of higher priority.
  std::optional<HbmMove> BeginHbmMove();
  // The copy has ended. False when the block stays in memory: the copy failed, or it was used meanwhile.
  bool EndHbmMove(HbmMove move, bool copied);

  struct HbmPlace {
    SlabRef slab = kNoSlab;
    uint32_t frame_bytes = 0;
    uint8_t priority = 0;
    const SpaceEntry* space = nullptr;
  };
  // Where a pinned block lies in HBM. Only whoever brings it back (HbmReads: one at a time) may rely on
  // it staying there.
  std::optional<HbmPlace> HbmPlaceOf(const PinSet& block) const;
  // The frame of a pinned block in HBM was copied to `slab` of memory, where it is from now on. False,
  // and nothing changes, when the header there does not carry the block's key.
  bool BringBack(const PinSet& block, SlabHandle slab);
  // A pinned block's frame in HBM is damaged: as Quarantine, but a copy on SSD serves on.
  void QuarantineHbm(const SpaceEntry& space, const PrefixHash& hash, const PinSet& block,
                     std::string_view reason);
  // Whether a pinned block has a copy of at least this fidelity on SSD.
  bool SsdServes(const PinSet& block, Fidelity fidelity) const;
  // A block that should be in memory, because its descendants wait for it to be written to SSD; pinned.
  std::optional<PinSet> NextWantedFromHbm();
  // The device is lost: what was there alone becomes a miss. O(blocks), a slice at a time under the lock.
  void LoseHbm();

  // Blocks that a restart found, a few at a time (they are looked up together); whether each was taken.
  std::vector<bool> Restore(std::span<const SsdEntry> entries);
  // After the last one: what has lost its ancestors goes.
  void EndRestore();
  // A space has been registered: what a restart found of it counts for its tenant from now on, no longer for
  // everybody, and goes where that is over the tenant's quota. A pass over the index when the tenant has
  // limits and a restart found the space, a slice at a time under the lock; nothing else, and nothing again.
  void Adopt(const SpaceEntry& space);

  struct Stats {
    uint64_t blocks = 0;
    uint64_t memory_blocks = 0;
    uint64_t ssd_blocks = 0;
    uint64_t ssd_bytes = 0;        // of frames and their records
    uint64_t hbm_blocks = 0;
    uint64_t dropped_memory = 0;   // copies in memory given up for room, the block being on SSD
    uint64_t dropped_hbm = 0;      // as dropped_memory
    uint64_t overtaken = 0;        // evicted by pressure while they waited to be written to SSD
    uint64_t restored = 0;
    uint64_t blocks_max = 0;
    uint64_t pinned_blocks = 0;
    uint64_t stored = 0;
    uint64_t conflicts = 0;
    uint64_t removed[kRemovalReasons] = {};
  };
  Stats stats() const;

  struct TenantUsage {
    uint64_t used_bytes = 0;      // of slabs, doomed blocks included
    uint64_t ssd_used_bytes = 0;  // of records whose blocks lie on SSD alone
    uint64_t evicted_blocks = 0;  // by pressure
    uint64_t no_room_blocks = 0;  // refused: nothing might be evicted for them
  };
  // By account, the shared one first.
  std::vector<TenantUsage> tenant_usage() const;

 private:
  friend class PinSet;
  void Unpin(std::span<const BlockRef> blocks);
  FrameHeader HeaderOf(const Residency& residency) const;
  bool SameKey(const SpaceEntry& space, const PrefixHash& hash, const Residency& residency) const;
  // Gives a pinned frame in memory its spans.
  std::variant<PinnedFrame, MissReason> Located(const SpaceEntry& space, const PrefixHash& hash,
                                                PinnedFrame frame);
  // Whether the candidate stands for other bytes than the resident block.
  bool DiffersLocked(const Candidate& candidate, BlockRef block, Fidelity fidelity) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PutOutcome CheckLocked(const Candidate& candidate) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnRemoved(const Removed& removed);
  void OfferLocked(BlockRef block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<BlockIndex::Restored> RestoredOf(const SsdEntry& entry);
  SsdRetention SsdRetentionOf(BlockRef block) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The block is on SSD: a restart shall find the retention that it has now.
  void RetainOnSsd(BlockRef block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string SsdKeyOf(const Fingerprint& key, SpaceSlot space) const;
  int64_t UnixMillis(Tick tick) const;
  Tick TickOf(int64_t unix_millis) const;
  Tick NowTick() const;
  RetentionTicks ToTicks(const RetentionSpec& retention) const;

  const Options options_;
  const TimePoint start_;
  mutable Mutex mutex_;
  BlockIndex index_ ABSL_GUARDED_BY(mutex_);
  uint64_t stored_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable uint64_t conflicts_ ABSL_GUARDED_BY(mutex_) = 0;  // Check() is where most are found
  uint64_t removed_[kRemovalReasons] ABSL_GUARDED_BY(mutex_) = {};
  std::vector<TenantUsage> tenants_ ABSL_GUARDED_BY(mutex_);  // the bytes are the index's to tell
  uint64_t dropped_memory_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t dropped_hbm_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<BlockRef> wanted_from_hbm_ ABSL_GUARDED_BY(mutex_);
  uint64_t overtaken_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t restored_ ABSL_GUARDED_BY(mutex_) = 0;
  WriteQueue write_queue_;
};

}  // namespace larder::server
