// The block index: which blocks are resident, how they chain, who holds them, and which goes next.
// A pure state machine: no lock, no I/O, no clock (times are ticks that the caller passes).
// BlockStore puts a mutex around it.
//
// Invariants
//   - A block's parent is resident as long as the block is: `children` counts resident children, and
//     a block with children never goes (tail-first). So priority and recency of a chain protect its
//     ancestors by structure; nothing needs to be copied up the chain.
//   - A pinned block never goes. A doomed block (expired, quarantined, removed by an operator) is a
//     miss from that moment on, and goes as soon as it has neither pins nor children; a new put of its
//     key revives it in place.
//   - Blocks are ordered, parked or absent in PriorityOrder; a block is parked only while it has pins
//     or children.
//
// Memory  48 bytes an entry, 12 of order, 6-13 of hash table. All arrays are lazily committed.
// Cost  O(1) amortised for every operation on a block; Match() pipelines its probes, so that a
// chain costs its cache misses in parallel. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/btree_set.h"
#include "kernels/format/kv_layout.h"
#include "proto/contract/block_key.h"
#include "proto/contract/outcomes.h"
#include "server/base/lazy_array.h"
#include "server/memory/slab_allocator.h"
#include "server/policy/priority_order.h"
#include "server/store/fingerprint.h"
#include "server/store/fingerprint_table.h"

namespace larder::server {

// Time in units of 100 ms since the server started: 13 years in 32 bits. 0 means "never" where a
// field is optional.
using Tick = uint32_t;

// Registered space, dense (SpaceTable).
using SpaceSlot = uint16_t;

// Where a block's frame lies and what it is.
struct Residency {
  SlabRef slab = kNoSlab;
  uint32_t frame_bytes = 0;
  uint8_t codec_id = 0;
  Fidelity fidelity = Fidelity::kUnspecified;
};

struct RetentionTicks {
  uint8_t priority = kPriorityDefault;
  Tick priority_until = 0;
  Tick expires_at = 0;
};

// A block that has left the index: its slab is the caller's to free.
struct Removed {
  BlockRef block = kNoBlock;
  Residency residency;
  SpaceSlot space = 0;
  uint8_t priority = 0;
  MissReason reason = MissReason::kEvicted;
  bool by_pressure = false;
};

class BlockIndex {
 public:
  // Told of every block that leaves, while its memory is still there.
  using RemovalListener = std::function<void(const Removed&)>;

  BlockIndex(size_t blocks_max, EvictionOrderFactory order, Fingerprinter fingerprinter,
             RemovalListener on_removed);

  struct MatchResult {
    size_t length = 0;
    MissReason miss_reason = MissReason::kNone;  // of block `length`
  };
  // Longest prefix of `hashes` that is live and at least `fidelity_min`; its blocks go to `blocks`
  // (hashes.size() long). No side effect.
  MatchResult Match(SpaceId space, std::span<const PrefixHash> hashes, Fidelity fidelity_min,
                    std::span<BlockRef> blocks) const;

  // A live block; kNoBlock otherwise, and then `reason` says why.
  BlockRef Find(SpaceId space, const PrefixHash& hash, Fidelity fidelity_min,
                MissReason* reason) const;

  // As Find, and also a block that has expired but is still held by a lease or a transfer: its
  // holders were promised it.
  BlockRef FindHeld(SpaceId space, const PrefixHash& hash, Fidelity fidelity_min,
                    MissReason* reason) const;

  // Touches a chain, given head first, so that its tail is the coldest.
  void TouchChain(std::span<const BlockRef> head_first);
  // Touches `block` and its ancestors, at most `limit` of them; returns the next one to touch,
  // kNoBlock when the chain is done.
  BlockRef TouchAncestors(BlockRef block, size_t limit);

  void Pin(BlockRef block);
  void Unpin(BlockRef block);

  // Adds a block, revives a doomed one of the same key, or replaces a live one of lower fidelity
  // (`reason` of the removal is then kNone). `parent`: a live block, or kNoBlock for
  // the first of a chain. kNoBlock when the index is full, or when the block of that key is
  // pinned.
  BlockRef Insert(SpaceId space, SpaceSlot slot, const PrefixHash& hash, BlockRef parent,
                  const Residency& residency, const RetentionTicks& retention);

  void SetRetention(BlockRef block, const RetentionTicks& retention);

  // Removes the coldest block that may go; false when none may.
  bool EvictColdest();

  // Makes a block a miss with this reason from now on.
  void Doom(BlockRef block, MissReason reason);
  // An operator's removal of every block of the space in [begin, end) that is not pinned; with
  // `orphans_only`, of those whose parent is doomed. Returns how many it doomed and adds the pinned
  // ones to `*held`.
  size_t DoomRange(SpaceSlot slot, BlockRef begin, BlockRef end, bool orphans_only, bool descending,
                   uint64_t* held);

  // Dooms what has expired and returns lapsed priorities to the default; at most `limit` of them.
  // Returns how many were due.
  size_t Advance(Tick now, size_t limit);

  Residency ResidencyOf(BlockRef block) const;
  bool live(BlockRef block) const { return entries_[block].live && !entries_[block].doomed; }
  bool present(BlockRef block) const { return block < entries_used_ && entries_[block].live; }
  SpaceSlot space_of(BlockRef block) const { return entries_[block].space; }
  uint8_t priority_of(BlockRef block) const { return order_.priority(block); }
  uint32_t pins_of(BlockRef block) const { return entries_[block].pins; }

  size_t size() const { return table_.size(); }
  size_t blocks_max() const { return entries_.capacity(); }
  size_t pinned_blocks() const { return pinned_blocks_; }
  // Entries ever used: every block reference is below this.
  BlockRef entries_used() const { return entries_used_; }

 private:
  struct Entry {
    Fingerprint fingerprint;
    BlockRef parent;  // next free entry while not live
    uint32_t children;
    SlabRef slab;
    uint32_t frame_bytes;
    Tick expires_at;
    Tick priority_until;
    uint32_t pins;
    SpaceSlot space;
    uint8_t codec_id;
    uint8_t fidelity : 4;
    uint8_t live : 1;
    uint8_t doomed : 1;
    uint8_t expired : 1;  // doomed by its TTL; who holds it may still read it
  };
  static_assert(sizeof(Entry) == 48);

  bool MayGo(const Entry& entry) const { return entry.pins == 0 && entry.children == 0; }
  BlockRef FindAny(const Fingerprint& key) const;
  MissReason ReasonOfAbsent(const Fingerprint& key) const;
  MissReason MissOf(BlockRef block, const Fingerprint& key, Fidelity fidelity_min) const;
  void Remember(const Fingerprint& key, MissReason reason);
  // Takes one block out and returns its parent; Remove() also settles the ancestors that waited for
  // it.
  BlockRef RemoveOne(BlockRef block, MissReason reason, bool by_pressure);
  void Remove(BlockRef block, MissReason reason, bool by_pressure);
  Tick NextDue(const Entry& entry) const;
  void Reschedule(BlockRef block, Tick before);
  BlockRef NewEntry();

  // Why a key is absent, for a bounded number of the last removals: a direct-mapped table of 24
  // fingerprint bits and a reason. Wrong only by forgetting, or with probability 2^-24 by naming a
  // removal that was another key's.
  static constexpr size_t kRememberedRemovals = size_t{1} << 20;

  Fingerprinter fingerprinter_;
  RemovalListener on_removed_;
  LazyArray<Entry> entries_;
  FingerprintTable table_;
  PriorityOrder order_;
  LazyArray<uint32_t> removals_;
  absl::btree_set<std::pair<Tick, BlockRef>>
      due_;  // one item per block that expires or whose priority lapses
  BlockRef entries_used_ = 0;
  BlockRef free_entry_ = kNoBlock;
  size_t pinned_blocks_ = 0;
};

}  // namespace larder::server
