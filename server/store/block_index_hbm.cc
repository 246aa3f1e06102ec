// The block index's part in residency in HBM: what moves there and back, and what is lost with the
// device.
#include <algorithm>
#include <utility>

#include "server/base/check.h"
#include "server/store/block_index.h"

namespace larder::server {

void BlockIndex::ForgetHbm(BlockRef block) {
  entries_[block].in_hbm = 0;
  --hbm_blocks_;
}

void BlockIndex::ParkParent(BlockRef block) {
  order_.Park(block);
  AwaitSsdQuota(block);
  if (!hbm_usable_ || entries_[block].pins > 0) return;
  if (parked_parents_.size() < kParkedParentsMax) parked_parents_.push_back(block);
}

bool BlockIndex::AwaitsSsd(const Entry& entry) const {
  if (entry.queued) return true;
  return entry.parent != kNoBlock && ssd_.capacity() > 0 && !entries_[entry.parent].on_ssd;
}

BlockRef BlockIndex::ColdestForHbm() {
  if (!hbm_usable_) return kNoBlock;
  // They were colder than all that is ordered.
  while (!parked_parents_.empty()) {
    const BlockRef block = parked_parents_.front();
    parked_parents_.pop_front();
    if (!present(block) || !entries_[block].in_memory || !order_.parked(block)) continue;
    if (entries_[block].pins > 0 || !live(block)) continue;
    order_.Unpark(block);
    return block;
  }
  size_t spared = 0;
  for (bool spare = true;;) {
    const BlockRef block = order_.Coldest(kSharedAccount);
    if (block == kNoBlock) {
      if (!RecallSpared()) return kNoBlock;
      spare = false;
    } else if (entries_[block].pins > 0 || !live(block)) {
      order_.Park(block);
    } else if (spare && AwaitsSsd(entries_[block]) && MayGo(entries_[block]) &&
               spared++ < kSparedPerCall) {
      Spare(block);  // from HBM nothing is written
    } else {
      return block;
    }
  }
}

SlabRef BlockIndex::MoveToHbm(BlockRef block, SlabRef slab, uint32_t origin_tag) {
  Entry& entry = entries_[block];
  LARDER_CHECK(live(block) && entry.in_memory && !entry.in_hbm);
  const uint8_t priority = order_.priority(block);
  order_.Remove(block, std::nullopt);
  entry.in_memory = 0;
  entry.in_hbm = 1;
  hbm_origin_tags_[block] = origin_tag;
  hbm_order_.Insert(block, entry.fingerprint.low, priority);
  --memory_blocks_;
  ++hbm_blocks_;
  return std::exchange(entry.slab, slab);
}

SlabRef BlockIndex::MoveToMemory(BlockRef block, SlabRef slab) {
  Entry& entry = entries_[block];
  LARDER_CHECK(entry.live && entry.in_hbm);
  const uint8_t priority = hbm_order_.priority(block);
  hbm_order_.Remove(block, std::nullopt);
  ForgetHbm(block);
  entry.in_memory = 1;
  order_.Insert(block, entry.fingerprint.low, priority, AccountOf(block));
  ++memory_blocks_;
  return std::exchange(entry.slab, slab);
}

bool BlockIndex::EvictColdestHbm(uint8_t priority_max) {
  for (;;) {
    const BlockRef block = hbm_order_.ColdestOfAll();
    if (block == kNoBlock || hbm_order_.priority(block) > priority_max) return false;
    const Entry& entry = entries_[block];
    if (entry.pins == 0 && entry.on_ssd && LeaveForSsd(block, priority_max)) return true;
    if (MayGo(entry)) {
      Remove(block, MissReason::kEvicted, /*by_pressure=*/true);
      return true;
    }
    hbm_order_.Park(block);
    AwaitSsdQuota(block);
  }
}

void BlockIndex::DropHbm(BlockRef block, MissReason reason) {
  LARDER_CHECK(entries_[block].live && entries_[block].in_hbm);
  if (entries_[block].on_ssd && !entries_[block].doomed) {
    DropToSsd(block);
  } else {
    Doom(block, reason);
  }
}

void BlockIndex::LoseHbm(BlockRef begin, BlockRef end) {
  hbm_usable_ = false;
  hbm_lost_ = true;
  parked_parents_.clear();
  for (BlockRef block = begin; block < std::min(end, entries_used_); ++block) {
    const Entry& entry = entries_[block];
    if (!entry.live || !entry.in_hbm || entry.doomed) continue;
    if (entry.pins > 0 && entry.on_ssd) continue;
    DropHbm(block, MissReason::kEvicted);
  }
}

}  // namespace larder::server
