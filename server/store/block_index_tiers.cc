// The block index's part in residency over tiers: copies on SSD, memory that is given up or gained,
// and what a restart finds.
#include <algorithm>
#include <utility>

#include "server/base/check.h"
#include "server/store/block_index.h"

namespace larder::server {

RetentionTicks BlockIndex::RetentionOf(BlockRef block) const {
  const Entry& entry = entries_[block];
  return {priority_of(block), entry.priority_until, entry.expires_at};
}

bool BlockIndex::SetQueued(BlockRef block, bool queued) {
  if (entries_[block].queued == queued) return false;
  entries_[block].queued = queued;
  if (!queued) Reconsider(block);
  return true;
}

void BlockIndex::ForgetSsdSize(BlockRef block) {
  const uint64_t charge = SsdCharge(block);
  --ssd_blocks_;
  ssd_bytes_ -= charge;
  entries_[block].on_ssd = entries_[block].stale = 0;
  RechargeSsd(block, charge);
}

void BlockIndex::ForgetSsd(BlockRef block) {
  Removed removed = RemovedOf(block, MissReason::kNone);
  removed.residency.slab = kNoSlab;
  removed.residency.in_hbm = false;
  removed.ssd = ssd_[block].location;
  removed.stays = true;
  on_removed_(removed);
  ForgetSsdSize(block);
}

void BlockIndex::AddSsd(BlockRef block, const SsdCopy& copy) {
  LARDER_CHECK(present(block));
  if (entries_[block].on_ssd) ForgetSsd(block);
  ssd_[block] = copy;
  ++ssd_blocks_;
  entries_[block].on_ssd = 1;
  ssd_bytes_ += SsdCharge(block);
  RechargeSsd(block, 0);
  Reconsider(block);  // it may leave memory now, whatever its children
}

bool BlockIndex::ChainOnSsd(BlockRef block) {
  BlockRef above = block;
  for (; above != kNoBlock && !IsRooted(above); above = entries_[above].parent) {
    if (!entries_[above].on_ssd) return false;
  }
  for (; block != above; block = entries_[block].parent) ssd_[block].rooted_in = rooted_epoch_;
  return true;
}

void BlockIndex::Uproot(BlockRef block) {
  if (entries_[block].children == 0 || ++rooted_epoch_ != 0) return;
  // All epochs have been used, after 65,535 such losses.
  rooted_epoch_ = 1;
  for (BlockRef each = 0; each < entries_used_; ++each) ssd_[each].rooted_in = 0;
}

bool BlockIndex::HoldsSsd(const Fingerprint& key, const SsdLocation& location) const {
  const BlockRef block = FindAny(key);
  return block != kNoBlock && live(block) && entries_[block].on_ssd &&
         ssd_[block].location == location;
}

bool BlockIndex::MoveSsd(const Fingerprint& key, const SsdLocation& from, const SsdLocation& to) {
  if (!HoldsSsd(key, from)) return false;
  ssd_[FindAny(key)].location = to;
  return true;
}

BlockRef BlockIndex::DropSsd(const Fingerprint& key, const SsdLocation& location,
                             MissReason reason) {
  const BlockRef block = FindAny(key);
  if (block == kNoBlock || !entries_[block].on_ssd || !(ssd_[block].location == location)) {
    return kNoBlock;
  }
  ForgetSsdSize(block);
  Uproot(block);
  if (!entries_[block].in_memory && !entries_[block].in_hbm) Doom(block, reason);
  return block;
}

void BlockIndex::DropToSsd(BlockRef block) {
  Entry& entry = entries_[block];
  Removed removed = RemovedOf(block, MissReason::kEvicted);
  removed.by_pressure = removed.stays = true;
  on_removed_(removed);
  const uint8_t priority = priority_of(block);
  OrderOf(block).Remove(block, std::nullopt);
  if (entry.in_memory) --memory_blocks_;
  if (entry.in_hbm) ForgetHbm(block);
  entry.in_memory = 0;
  entry.slab = kNoSlab;
  entry.frame_bytes = ssd_[block].location.frame_bytes;
  entry.codec_id = ssd_[block].codec_id;
  entry.fidelity = ssd_[block].fidelity & kFidelityMask;
  entry.stale = 0;
  const AccountRef account = AccountOf(block);
  ssd_order_.Insert(block, entry.fingerprint.low, priority, account);
  ssd_over_quota_ |= ssd_order_.Exceeds(account, 0);
}

void BlockIndex::AddMemory(BlockRef block, SlabRef slab) {
  Entry& entry = entries_[block];
  LARDER_CHECK(entry.live && !entry.in_memory && !entry.in_hbm && entry.on_ssd);
  const uint8_t priority = ssd_order_.priority(block);
  ssd_order_.Remove(block, std::nullopt);
  entry.in_memory = 1;
  entry.slab = slab;
  order_.Insert(block, entry.fingerprint.low, priority, AccountOf(block));
  ++memory_blocks_;
}

BlockRef BlockIndex::InsertAwaited(const Fingerprint& key, SpaceSlot space) {
  const BlockRef block = NewEntry();
  if (block == kNoBlock) return kNoBlock;
  Entry& entry = entries_[block];
  entry = Entry{};
  entry.fingerprint = key;
  entry.parent = kNoBlock;
  entry.space = space;
  entry.live = entry.doomed = entry.awaited = 1;
  table_.Insert(key, block, [this](BlockRef ref) { return entries_[ref].fingerprint; });
  ssd_order_.Insert(block, key.low, kPriorityDefault, AccountOf(block));
  return block;
}

std::optional<int64_t> BlockIndex::Restore(const Restored& restored) {
  BlockRef block = FindAny(restored.key);
  if (block != kNoBlock && !entries_[block].awaited) {
    Entry& known = entries_[block];
    if (!live(block) || !known.on_ssd || known.in_memory || known.in_hbm) return std::nullopt;
    const int64_t before = known.frame_bytes;
    ForgetSsdSize(block);
    TakeCopy(block, restored);
    return int64_t{known.frame_bytes} - before;
  }
  if (restored.has_parent && restored.parent == restored.key) return std::nullopt;
  BlockRef parent = kNoBlock;
  if (restored.has_parent) {
    parent = FindAny(restored.parent);
    if (parent == kNoBlock) parent = InsertAwaited(restored.parent, restored.space);
    if (parent == kNoBlock) return std::nullopt;
  }
  if (block == kNoBlock) {
    block = InsertAwaited(restored.key, restored.space);
    if (block == kNoBlock) return std::nullopt;
  }
  Entry& entry = entries_[block];
  entry.parent = parent;
  if (parent != kNoBlock) ++entries_[parent].children;
  entry.doomed = entry.awaited = 0;
  entry.slab = kNoSlab;
  TakeCopy(block, restored);
  return entry.frame_bytes;
}

// The block, which is on SSD alone, lies and is kept as `restored` says.
void BlockIndex::TakeCopy(BlockRef block, const Restored& restored) {
  Entry& entry = entries_[block];
  entry.frame_bytes = restored.copy.location.frame_bytes;
  entry.codec_id = restored.copy.codec_id;
  entry.fidelity = restored.copy.fidelity & kFidelityMask;
  AddSsd(block, restored.copy);
  SetRetention(block, restored.retention);
}

void BlockIndex::Prefetch(std::span<const Fingerprint> keys) const {
  for (const Fingerprint& key : keys) table_.Prefetch(key);
  for (const Fingerprint& key : keys) {
    const BlockRef candidate = table_.Candidate(key);
    if (candidate != kNoBlock) __builtin_prefetch(&entries_[candidate]);
  }
}

void BlockIndex::DropOrphans(BlockRef begin, BlockRef end) {
  std::vector<BlockRef> path;
  for (BlockRef start = begin; start < std::min(end, entries_used_); ++start) {
    if (!live(start) || IsRooted(start)) continue;
    path.clear();
    BlockRef block = start;
    // A chain that names itself as its ancestor (damage) is longer than the index has blocks.
    while (block != kNoBlock && live(block) && !IsRooted(block) &&
           path.size() <= table_.size()) {
      path.push_back(block);
      block = entries_[block].parent;
    }
    const bool rooted = block == kNoBlock || (live(block) && IsRooted(block));
    for (const BlockRef on_path : path) {
      if (rooted) {
        ssd_[on_path].rooted_in = rooted_epoch_;
      } else if (present(on_path)) {
        Doom(on_path, MissReason::kEvicted);
      }
    }
  }
}

std::vector<BlockRef> BlockIndex::DrainOrder() {
  std::vector<BlockRef> blocks;
  while (RecallSpared()) {
  }
  for (BlockRef block; (block = order_.ColdestOfAll()) != kNoBlock;) {
    order_.Park(block);
    blocks.push_back(block);
  }
  return blocks;
}

}  // namespace larder::server
