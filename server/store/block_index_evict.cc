// What leaves which tier to make room, and in which order.
#include <algorithm>
#include <utility>

#include "server/store/block_index.h"

namespace larder::server {

template <typename Coldest>
bool BlockIndex::EvictNext(uint8_t priority_max, Coldest coldest) {
  bool spare = true;
  size_t recalls = 0;
  for (size_t spared = 0;;) {
    const BlockRef block = coldest();
    if (block == kNoBlock) {
      if (RecallSpared()) {
        spare = false;
      } else if (recalls++ == kQuotaRecallsPerCall || !RecallAwaitingQuota()) {
        return false;
      }
      continue;
    }
    const Entry& entry = entries_[block];
    if (entry.pins == 0 && entry.on_ssd && LeaveForSsd(block, priority_max)) return true;
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

void BlockIndex::RechargeSsd(BlockRef block, uint64_t before) {
  if (entries_[block].in_memory || entries_[block].in_hbm) return;
  ssd_order_.Resized(block, before);
  ssd_over_quota_ |= ssd_order_.Exceeds(ssd_order_.account(block), 0);
}

bool BlockIndex::EvictOwnSsd(AccountRef account, uint8_t priority_max) {
  for (;;) {
    const BlockRef block = ssd_order_.ColdestOf(account);
    if (block == kNoBlock || ssd_order_.priority(block) > priority_max) return false;
    if (MayGo(entries_[block])) {
      Remove(block, MissReason::kEvicted, /*by_pressure=*/true);
      return true;
    }
    ssd_order_.Park(block);
  }
}

bool BlockIndex::MakeRoomInSsdQuota(BlockRef block, uint8_t priority_max) {
  if (ssd_order_.accounts() == 1) return true;
  const AccountRef account = AccountOf(block);
  const uint64_t bytes = SsdCharge(block);
  if (bytes > ssd_order_.limits(account).quota_bytes) return false;
  const uint8_t priority = std::min(priority_of(block), priority_max);
  for (size_t left = kQuotaEvictionsMax; ssd_order_.Exceeds(account, bytes); --left) {
    // A doomed block goes with the last of its descendants.
    if (left == 0 || !present(block) || !EvictOwnSsd(account, priority)) return false;
  }
  return true;
}

bool BlockIndex::LeaveForSsd(BlockRef block, uint8_t priority_max) {
  const bool fits = MakeRoomInSsdQuota(block, priority_max);
  if (!present(block)) return true;  // it went on the way, and its slab with it
  if (fits) DropToSsd(block);
  return fits;
}

void BlockIndex::AwaitSsdQuota(BlockRef block) {
  if (entries_[block].pins > 0 || !entries_[block].on_ssd) return;
  if (awaiting_quota_.size() < kParkedParentsMax) awaiting_quota_.push_back(block);
}

bool BlockIndex::RecallAwaitingQuota() {
  while (!awaiting_quota_.empty()) {
    const BlockRef block = awaiting_quota_.front();
    awaiting_quota_.pop_front();
    if (!present(block) || entries_[block].pins > 0 || !entries_[block].on_ssd) continue;
    if (!entries_[block].in_memory && !entries_[block].in_hbm) continue;
    if (!OrderOf(block).parked(block)) continue;
    OrderOf(block).Unpark(block);
    return true;
  }
  return false;
}

size_t BlockIndex::SettleSsdQuotas(size_t limit) {
  if (!ssd_over_quota_) return 0;
  ssd_over_quota_ = false;
  size_t settled = 0;
  for (size_t each = 1; each < ssd_order_.accounts(); ++each) {
    const auto account = static_cast<AccountRef>(each);
    while (settled < limit && ssd_order_.Exceeds(account, 0) &&
           EvictOwnSsd(account, kPriorityMax)) {
      ++settled;
    }
    ssd_over_quota_ |= ssd_order_.Exceeds(account, 0);
  }
  return settled;
}

void BlockIndex::AdoptSsd(SpaceSlot slot, BlockRef begin, BlockRef end) {
  const AccountRef account = account_of_(slot);
  // What was found first is the coldest.
  for (BlockRef block = std::min(end, entries_used_); block-- > begin;) {
    const Entry& entry = entries_[block];
    if (!entry.live || entry.space != slot || entry.in_memory || entry.in_hbm) continue;
    ssd_order_.Assign(block, account);
  }
  ssd_over_quota_ |= ssd_order_.Exceeds(account, 0);
}

BlockRef BlockIndex::NextForSsdNeed(const SsdNeed& need, uint8_t priority_max) {
  if (need.of_disk) return ssd_order_.ColdestOfAll();
  const BlockRef block = ssd_order_.Coldest(need.account);
  if (block != kNoBlock && ssd_order_.priority(block) <= priority_max) return block;
  return ssd_order_.ColdestOf(need.account);  // the others' are more important, its own may not be
}

bool BlockIndex::EvictColdestSsd(const SsdNeed& need) {
  const bool reserved =
      ssd_order_.used_bytes(need.account) + need.frame_bytes + kSsdRecordBytes <=
      ssd_order_.limits(need.account).reserve_bytes;
  const uint8_t bound = reserved ? kPriorityMax : need.priority;
  for (;;) {
    const BlockRef block = NextForSsdNeed(need, bound);
    const bool lower = block != kNoBlock && ssd_order_.priority(block) < bound;
    if (!lower && GiveUpSsdBelow(need, bound, /*copies_only=*/false)) return true;
    if (block == kNoBlock || ssd_order_.priority(block) > bound) {
      return need.wanted_now && GiveUpSsdBelow(need, bound + 1, /*copies_only=*/true);
    }
    if (MayGo(entries_[block])) {
      Remove(block, MissReason::kEvicted, /*by_pressure=*/true);
      return true;
    }
    ssd_order_.Park(block);
  }
}

bool BlockIndex::IsReserved(BlockRef block, const SsdNeed& need) const {
  const AccountRef owner = order_.account(block);
  if (owner == need.account || need.of_disk) return false;
  // Out of memory it would count for the reserve on SSD.
  if (entries_[block].on_ssd) {
    return ssd_order_.used_bytes(owner) + SsdCharge(block) <=
           ssd_order_.limits(owner).reserve_bytes;
  }
  return order_.used_bytes(owner) <
         order_.limits(owner).reserve_bytes + SlabBytes(entries_[block].frame_bytes);
}

// A block of higher priority must not go because memory holds the lower ones' copies, or their
// children. Any will do: the order of memory says nothing of what SSD should keep.
bool BlockIndex::GiveUpSsdBelow(const SsdNeed& need, uint8_t priority, bool copies_only) {
  if (!order_.MayHaveBelow(priority)) return false;
  const BlockRef scanned = std::min(kSsdScanStep, entries_used_);
  for (BlockRef step = 0; step < scanned; ++step) {
    const BlockRef block = ssd_hand_ < entries_used_ ? ssd_hand_ : 0;
    ssd_hand_ = block + 1;
    const Entry& entry = entries_[block];
    if (!entry.live || !entry.in_memory || !MayGo(entry)) continue;
    if (order_.priority(block) >= priority || IsReserved(block, need)) continue;
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
