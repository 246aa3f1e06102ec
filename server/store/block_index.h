// The block index: which blocks are resident and where, how they chain, who holds them, and which
// goes next. A pure state machine: no lock, no I/O, no clock (times are ticks that the caller
// passes). BlockStore puts a mutex around it.
//
// A block lies in memory or in HBM, and may lie on SSD beside that or alone. It stands in one order
// only: that of memory while it is there, else that of HBM, else that of SSD, and arrives in the
// next as its warmest. So the orders together are the order of the union: the coldest of memory is
// warmer than all that is in HBM, which is warmer than all that is on SSD alone.
//
// Invariants
//   - A block's parent is resident as long as the block is: `children` counts resident children, and
//     a block with children never goes (tail-first). So priority and recency of a chain protect its
//     ancestors by structure; nothing needs to be copied up the chain.
//   - A block that is on SSD too may lose its copy in memory or HBM at any time, children or not: it
//     stays resident. So does one that moves from memory to HBM.
//   - A pinned block never goes, and keeps its copy in memory; one in HBM keeps that, or moves to
//     memory, while the device lives. A doomed block (expired, quarantined, removed by an operator) is a
//     miss from that moment on, and goes as soon as it has neither pins nor children; a new put of its
//     key revives it in place.
//   - Blocks are ordered, parked or absent in TenantOrder; a block is parked only while it has pins
//     or children, or waits to be written to SSD. A tenant is charged with the slabs of its blocks in
//     memory and, apart from that, with the records of its blocks on SSD alone. A copy of what memory has is
//     charged there only: it is given up whenever SSD needs the room, and no reserve could depend on it.
//   - No block comes to lie on SSD alone over its tenant's quota there: the tenant's own coldest make room, of no
//     higher priority and tail first, or the block leaves both tiers. What may be over it for a while (blocks that
//     lost HBM, or came to the tenant by AdoptSsd) goes in Advance(), as soon as it is not held.
//
// Memory  48 bytes an entry, 12 of order, 6-13 of hash table; 24 more once it was on SSD, 16
// once it was in HBM. All arrays are lazily committed.
// Cost  O(1) amortised for every operation on a block; Match() pipelines its probes, so that a
// chain costs its cache misses in parallel. Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "kernels/format/kv_layout.h"
#include "proto/contract/block_key.h"
#include "server/base/lazy_array.h"
#include "server/memory/slab_allocator.h"
#include "server/policy/tenant_order.h"
#include "server/store/block_index_options.h"
#include "server/store/fingerprint.h"
#include "server/store/fingerprint_table.h"
#include "server/store/residency.h"

namespace larder::server {

class BlockIndex {
 public:
  // Told of every block that leaves, while its memory is still there.
  using RemovalListener = std::function<void(const Removed&)>;

  BlockIndex(size_t blocks_max, EvictionOrderFactory order, Fingerprinter fingerprinter,
             RemovalListener on_removed, BlockIndexOptions options = {});

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

  // Frees the memory of the coldest block that may leave it: it loses that copy when it is on SSD
  // too, and is removed otherwise, but never for a newcomer of lower priority beyond its tenant's
  // reserve. False when none may for this newcomer: what is left is held, more important, or kept for
  // other tenants' reserves.
  bool EvictColdest(const Newcomer& newcomer = {});
  // As EvictColdest of the account's own blocks, at most `limit` times, until the newcomer is within
  // its quota; false when it is not.
  bool MakeRoomInQuota(const Newcomer& newcomer, size_t limit);
  // Gives up one copy on SSD for a newcomer: the coldest block that is on SSD alone, may go and is not kept by
  // another's reserve, if its priority is lower; else that of a lower block which memory keeps; else the
  // coldest of the same priority. `wanted_now`: else that of a block of the same priority which memory keeps, for a
  // newcomer whose owner waits; for others that would only write the two in turn. A newcomer within its tenant's
  // reserve is as one of the highest priority. False when there is none. O(kSsdScanStep) for the second and the last.
  bool EvictColdestSsd(const SsdNeed& need = {});

  // --- Copies on SSD (block_index_tiers.cc) ---
  // The block of this key, doomed or not; kNoBlock when absent.
  BlockRef FindKey(const Fingerprint& key) const { return FindAny(key); }
  Fingerprint KeyOf(SpaceId space, const PrefixHash& hash) const {
    return fingerprinter_.Of(space, hash);
  }
  const Fingerprint& key_of(BlockRef block) const { return entries_[block].fingerprint; }
  BlockRef parent_of(BlockRef block) const { return entries_[block].parent; }
  // Of a block that is on SSD.
  const SsdCopy& ssd_of(BlockRef block) const { return ssd_[block]; }
  bool on_ssd(BlockRef block) const { return entries_[block].on_ssd; }
  bool in_memory(BlockRef block) const { return entries_[block].in_memory; }
  // Whether it was used after it was stored.
  bool reused(BlockRef block) const { return entries_[block].reused; }
  RetentionTicks RetentionOf(BlockRef block) const;

  // Live, in memory, and not on SSD as it should be.
  bool WantsSsd(BlockRef block) const {
    const Entry& entry = entries_[block];
    return live(block) && entry.in_memory && !entry.too_large && (!entry.on_ssd || entry.stale);
  }
  // Notes that it waits to be written; false when it was noted already.
  bool SetQueued(BlockRef block, bool queued);
  // Notes that its write has begun or ended.
  void SetWriting(BlockRef block, bool writing) { entries_[block].writing = writing; }
  bool writing(BlockRef block) const { return entries_[block].writing; }

  // It has no place on SSD as it is: not wanted there until it is put again in another form.
  void SetTooLargeForSsd(BlockRef block) { entries_[block].too_large = 1; }
  // The block, which is present, has this copy from now on; an older one is given up.
  void AddSsd(BlockRef block, const SsdCopy& copy);
  // Whether it and all its ancestors are on SSD: then a restart finds it. O(ancestors) the first time.
  bool ChainOnSsd(BlockRef block);
  // False when the block's copy is not (any more) at `from`.
  bool MoveSsd(const Fingerprint& key, const SsdLocation& from, const SsdLocation& to);
  // Whether the copy at `location` is a live block's.
  bool HoldsSsd(const Fingerprint& key, const SsdLocation& location) const;
  // Forgets the copy at `location`, without telling the listener; a block that has no other becomes a
  // miss with this reason. kNoBlock when the block's copy is not there.
  BlockRef DropSsd(const Fingerprint& key, const SsdLocation& location, MissReason reason);
  // A block that was on SSD alone is in memory too.
  void AddMemory(BlockRef block, SlabRef slab);

  struct Restored {
    Fingerprint key;
    Fingerprint parent;
    bool has_parent = false;
    SpaceSlot space = 0;
    SsdCopy copy;
    RetentionTicks retention;
  };
  // A block that is on SSD alone, found by a restart, in any order: a parent that has not come yet is
  // awaited, and its descendants can not be matched until it has (a match begins at a chain's head). It may come
  // again: then the last copy named counts. By how many bytes frames have grown; nullopt when it is refused: the index
  // is full, or what was put meanwhile is newer.
  std::optional<int64_t> Restore(const Restored& restored);
  // Loads what operations on these keys will look at, all at once. No effect; worth it from a few keys on.
  void Prefetch(std::span<const Fingerprint> keys) const;
  // Once all are restored: dooms what in [begin, end) has no way to its chain's head.
  void DropOrphans(BlockRef begin, BlockRef end);
  // The space has an account by now: its blocks in [begin, end) on SSD alone, which a restart found before,
  // are charged to that, as its coldest. 3 ns for each other block, 50 ns for those.
  void AdoptSsd(SpaceSlot slot, BlockRef begin, BlockRef end);
  // Takes at most `limit` blocks off SSD that are over their tenants' quotas; returns how many.
  size_t SettleSsdQuotas(size_t limit);
  // Bytes of frames on SSD, each with what a record costs; those of an account's blocks there alone.
  uint64_t ssd_bytes() const { return ssd_bytes_; }
  uint64_t ssd_used_bytes(AccountRef account) const { return ssd_order_.used_bytes(account); }
  size_t ssd_blocks() const { return ssd_blocks_; }
  size_t memory_blocks() const { return memory_blocks_; }
  // Blocks in memory from the coldest to the warmest. Parks those that are ordered: only for a store
  // that takes nothing more.
  std::vector<BlockRef> DrainOrder();

  // --- Copies in HBM (block_index_hbm.cc) ---
  bool in_hbm(BlockRef block) const { return entries_[block].in_hbm; }
  // Of a block in HBM: the tag of its origin (frame_key.h).
  uint32_t hbm_origin_tag(BlockRef block) const { return hbm_origin_tags_[block]; }
  size_t hbm_blocks() const { return hbm_blocks_; }
  // The coldest block that may move from memory to HBM, children or not, none of which costs a tenant
  // its reserve; kNoBlock when there is none.
  BlockRef ColdestForHbm();
  // The block, which is in memory, lies in `slab` of HBM instead. Returns its slab of memory.
  SlabRef MoveToHbm(BlockRef block, SlabRef slab, uint32_t origin_tag);
  // The block, which is in HBM, lies in `slab` of memory instead. Returns its slab of HBM.
  SlabRef MoveToMemory(BlockRef block, SlabRef slab);
  // Frees HBM of the coldest block there that may leave it and has at most this priority: it loses
  // that copy when it is on SSD too, and is removed otherwise. False when there is none.
  bool EvictColdestHbm(uint8_t priority_max = kPriorityMax);
  // The block's bytes in HBM are of no use: it lies on SSD alone, or becomes a miss with this reason.
  void DropHbm(BlockRef block, MissReason reason);
  // The device is gone for good: drops what in [begin, end) was in HBM, but for pinned blocks that
  // are on SSD too; they are for a later call. No block moves there any more.
  void LoseHbm(BlockRef begin, BlockRef end);

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
  uint8_t priority_of(BlockRef block) const { return OrderOf(block).priority(block); }
  uint32_t pins_of(BlockRef block) const { return entries_[block].pins; }
  // Bytes of the slabs of an account's blocks.
  uint64_t used_bytes(AccountRef account) const { return order_.used_bytes(account); }

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
    uint32_t pins : 24;
    uint32_t in_memory : 1;
    uint32_t on_ssd : 1;
    uint32_t stale : 1;    // the copy on SSD is of lower fidelity than was put since
    uint32_t awaited : 1;  // not restored yet, but a child was; doomed until then
    uint32_t reused : 1;
    uint32_t queued : 1;   // waits to be written to SSD
    uint32_t writing : 1;  // on its way to SSD
    uint32_t too_large : 1;  // for SSD, in the form that it would have there
    SpaceSlot space;
    uint8_t codec_id;
    uint8_t fidelity : 3;
    uint8_t live : 1;
    uint8_t doomed : 1;
    uint8_t expired : 1;  // doomed by its TTL; who holds it may still read it
    uint8_t spared : 1;   // stands in spared_
    uint8_t in_hbm : 1;   // there is the slab then
  };
  static_assert(sizeof(Entry) == 48);

  static constexpr uint32_t kPinsMax = (1u << 24) - 1;
  // How many blocks one eviction passes over, so that the lock is held for 100 us at most.
  static constexpr size_t kSparedPerCall = 1024;
  static constexpr uint8_t kFidelityMask = 0x7;
  // Blocks of its own that a tenant loses for one that comes to lie on SSD alone, at most.
  static constexpr size_t kQuotaEvictionsMax = 256;
  static constexpr size_t kQuotaRecallsPerCall = 16;
  // Entries that one call looks at, about 15 us.
  static constexpr BlockRef kSsdScanStep = 4096;
  static constexpr size_t kParkedParentsMax = size_t{1} << 20;  // 4 MiB
  // What a record costs on SSD beside its frame: header and alignment.
  static constexpr uint64_t kSsdRecordBytes = 256;

  bool MayGo(const Entry& entry) const { return entry.pins == 0 && entry.children == 0; }
  bool MayLeaveMemory(const Entry& entry) const {
    const bool to_hbm = entry.in_memory && hbm_usable_;
    return entry.pins == 0 && (entry.on_ssd || entry.children == 0 || to_hbm);
  }
  const TenantOrder& OrderOf(BlockRef block) const {
    if (entries_[block].in_memory) return order_;
    return entries_[block].in_hbm ? hbm_order_ : ssd_order_;
  }
  TenantOrder& OrderOf(BlockRef block) {
    return const_cast<TenantOrder&>(std::as_const(*this).OrderOf(block));
  }
  // What a frame takes in memory.
  static uint64_t SlabBytes(uint64_t frame_bytes) {
    return (frame_bytes + kGranuleBytes - 1) / kGranuleBytes * kGranuleBytes;
  }
  // Passes over a block that waits to be written to SSD: while it does, one that is there already
  // leaves memory in its place, which loses nothing.
  void Spare(BlockRef block);
  bool IsSpared(BlockRef block) const;
  // The block that was spared first is the coldest again; false when none is left.
  bool RecallSpared();
  // Evicts `coldest()` once it may leave memory; it is removed only if its priority is at most
  // `priority_max`.
  template <typename Coldest>
  bool EvictNext(uint8_t priority_max, Coldest coldest);
  // Gives up a copy on SSD, or what keeps one there, of a block in memory below `priority`.
  bool GiveUpSsdBelow(const SsdNeed& need, uint8_t priority, bool copies_only);
  // Whether the need of another would take from a reserve what GiveUpSsdBelow() would.
  bool IsReserved(BlockRef block, const SsdNeed& need) const;
  BlockRef NextForSsdNeed(const SsdNeed& need, uint8_t priority_max);
  AccountRef AccountOf(BlockRef block) const {
    return order_.accounts() == 1 ? kSharedAccount : account_of_(entries_[block].space);
  }
  // What the block's tenant is charged with while it is on SSD alone.
  uint64_t SsdCharge(BlockRef block) const {
    return entries_[block].on_ssd ? ssd_[block].location.frame_bytes + kSsdRecordBytes : 0;
  }
  // The block's charge was another.
  void RechargeSsd(BlockRef block, uint64_t before);
  // Removes the account's coldest block on SSD alone; false when none of at most this priority may go.
  bool EvictOwnSsd(AccountRef account, uint8_t priority_max);
  // Room in its tenant's quota for the block, which is on SSD too: of its tenant's blocks of no higher priority.
  bool MakeRoomInSsdQuota(BlockRef block, uint8_t priority_max);
  // The slab of the block, which is on SSD too, is given up. False when that would be over the quota.
  bool LeaveForSsd(BlockRef block, uint8_t priority_max);
  // A parked block that may leave for SSD as soon as the quota allows.
  void AwaitSsdQuota(BlockRef block);
  // Lets one of those try again; false when there is none.
  bool RecallAwaitingQuota();
  // Unparks it if it may go now.
  void Reconsider(BlockRef block);
  // The block, which is on SSD too, loses its copy in memory or HBM.
  void DropToSsd(BlockRef block);
  void ForgetHbm(BlockRef block);
  // Waits to be written to SSD, or for its parent to be.
  bool AwaitsSsd(const Entry& entry) const;
  // Parks an unpinned block that can not leave memory because of its children; HBM would take it.
  void ParkParent(BlockRef block);
  Removed RemovedOf(BlockRef block, MissReason reason) const;
  // Gives the copy on SSD up: the listener is told to erase it.
  void ForgetSsd(BlockRef block);
  void ForgetSsdSize(BlockRef block);
  bool IsRooted(BlockRef block) const {
    return entries_[block].on_ssd && ssd_[block].rooted_in == rooted_epoch_;
  }
  // A block loses its copy on SSD: what was known of the way up from its descendants is not known any more.
  void Uproot(BlockRef block);
  void TakeCopy(BlockRef block, const Restored& restored);
  // An entry of an absent key that stands for a block still to be restored; kNoBlock when full.
  BlockRef InsertAwaited(const Fingerprint& key, SpaceSlot space);
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
  TenantOrder order_;      // of blocks in memory
  TenantOrder ssd_order_;  // of blocks on SSD alone, with limits of their own
  LazyArray<SsdCopy> ssd_;   // by block; without SSD empty
  TenantOrder hbm_order_;  // of blocks in HBM; no limits count there, on SSD or not
  LazyArray<uint32_t> hbm_origin_tags_;  // by block; without HBM empty
  size_t hbm_blocks_ = 0;
  // Blocks that ParkParent has parked. What is forgotten here waits until its children have gone.
  std::deque<BlockRef> parked_parents_;
  bool hbm_usable_;
  bool hbm_lost_ = false;
  uint64_t ssd_bytes_ = 0;
  size_t ssd_blocks_ = 0;
  std::deque<BlockRef> spared_;  // from the coldest on; also some that no longer are
  std::deque<BlockRef> awaiting_quota_;  // the same
  bool ssd_over_quota_ = false;          // some tenant may be
  uint16_t rooted_epoch_ = 1;
  BlockRef ssd_hand_ = 0;  // where GiveUpSsdBelow() looks next
  size_t memory_blocks_ = 0;
  std::function<AccountRef(SpaceSlot)> account_of_;
  LazyArray<uint32_t> removals_;
  absl::btree_set<std::pair<Tick, BlockRef>>
      due_;  // one item per block that expires or whose priority lapses
  BlockRef entries_used_ = 0;
  BlockRef free_entry_ = kNoBlock;
  size_t pinned_blocks_ = 0;
};

}  // namespace larder::server
