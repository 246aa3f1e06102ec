// What leaves which tier to make room, and in which order.
#include <algorithm>
#include <utility>

#include "server/store/block_index.h"

namespace larder::server {

template <typename Coldest>
bool BlockIndex::EvictNext(uint8_t priority_max, Coldest coldest) {
  bool spare = true;
  for (size_t spared = 0;;) {
    const BlockRef block = coldest();
    if (block == kNoBlock) {
      if (!RecallSpared()) return false;
      spare = false;
      continue;
    }
    const Entry& entry = entries_[block];
    if (entry.pins == 0 && entry.on_ssd) {
      DropToSsd(block);
      return true;
    }
    if (!MayGo(entry)) {
      ParkParent(block);
    } else if (spare && entry.queued && spared++ < kSparedPerCall) {
      Spare(block);
    } else if (spare && RecallSpared()) {
      spare = false;  // what would be lost for good is the coldest of both
    } else {
      if (order_.priority(block) > priority_max) return false;
      Remove(block, MissReason::kEvicted, /*by_pressure=*/true);
      return true;
    }
  }
}

void BlockIndex::Spare(BlockRef block) {
  order_.Park(block);
  if (entries_[block].spared) return;
  const auto forget = [this](BlockRef of) {
    if (IsSpared(of)) return false;
    entries_[of].spared = 0;
    return true;
  };
  if (!spared_.empty() && forget(spared_.front())) spared_.pop_front();
  if (spared_.size() > 2 * memory_blocks_) std::erase_if(spared_, forget);
  entries_[block].spared = 1;
  spared_.push_back(block);
}

bool BlockIndex::IsSpared(BlockRef block) const {
  const Entry& entry = entries_[block];
  return entry.live && entry.spared && entry.in_memory && MayGo(entry) && order_.parked(block);
}

bool BlockIndex::RecallSpared() {
  while (!spared_.empty()) {
    const BlockRef block = spared_.front();
    spared_.pop_front();
    const bool spared = IsSpared(block);
    entries_[block].spared = 0;
    if (!spared) continue;
    order_.Unpark(block);
    return true;
  }
  return false;
}

bool BlockIndex::EvictColdest(const Newcomer& newcomer) {
  const AccountRef account = newcomer.account;
  // A reserve is its tenant's, whatever the others put into it.
  const bool reserved = order_.used_bytes(account) + SlabBytes(newcomer.frame_bytes) <=
                        order_.limits(account).reserve_bytes;
  const uint8_t bound = reserved ? kPriorityMax : newcomer.priority;
  // When others' blocks are more important, the tenant's own may still not be.
  return EvictNext(bound, [&] { return order_.Coldest(account); }) ||
         EvictNext(bound, [&] { return order_.ColdestOf(account); });
}

bool BlockIndex::MakeRoomInQuota(const Newcomer& newcomer, size_t limit) {
  const AccountRef account = newcomer.account;
  const uint64_t bytes = SlabBytes(newcomer.frame_bytes);
  if (bytes > order_.limits(account).quota_bytes) return false;
  for (; order_.Exceeds(account, bytes); --limit) {
    if (limit == 0 ||
        !EvictNext(newcomer.priority, [&] { return order_.ColdestOf(account); })) {
      return false;
    }
  }
  return true;
}

bool BlockIndex::EvictColdestSsd(uint8_t priority, bool wanted_now) {
  for (;;) {
    const BlockRef block = ssd_order_.ColdestOfAll();
    const bool lower = block != kNoBlock && ssd_order_.priority(block) < priority;
    if (!lower && GiveUpSsdBelow(priority, /*copies_only=*/false)) return true;
    if (block == kNoBlock || ssd_order_.priority(block) > priority) {
      return wanted_now && GiveUpSsdBelow(priority + 1, /*copies_only=*/true);
    }
    if (MayGo(entries_[block])) {
      Remove(block, MissReason::kEvicted, /*by_pressure=*/true);
      return true;
    }
    ssd_order_.Park(block);
  }
}

// A block of higher priority must not go because memory holds the lower ones' copies, or their
// children. Any will do: the order of memory says nothing of what SSD should keep.
bool BlockIndex::GiveUpSsdBelow(uint8_t priority, bool copies_only) {
  if (!order_.MayHaveBelow(priority)) return false;
  const BlockRef scanned = std::min(kSsdScanStep, entries_used_);
  for (BlockRef step = 0; step < scanned; ++step) {
    const BlockRef block = ssd_hand_ < entries_used_ ? ssd_hand_ : 0;
    ssd_hand_ = block + 1;
    const Entry& entry = entries_[block];
    if (!entry.live || !entry.in_memory || !MayGo(entry)) continue;
    if (order_.priority(block) >= priority) continue;
    if (entry.on_ssd) {
      ForgetSsd(block);
      return true;
    }
    if (copies_only || entry.parent == kNoBlock || !entries_[entry.parent].on_ssd) continue;
    Remove(block, MissReason::kEvicted, /*by_pressure=*/true);
    return true;
  }
  return false;
}

}  // namespace larder::server
