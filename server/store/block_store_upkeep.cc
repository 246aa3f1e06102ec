// Upkeep of the resident blocks: retention, expiry, operators' removal, counters. The data path is
// in block_store.cc.
#include <algorithm>

#include "server/base/fault_point.h"
#include "server/base/planted_bug.h"
#include "server/store/block_store.h"

namespace larder::server {
namespace {

constexpr auto kTickLength = std::chrono::milliseconds(100);
constexpr size_t kExpiriesPerRound =
    100'000;  // the janitor's own step, about 20 ms in slices of kBlocksPerLock
constexpr BlockRef kScanStep = 16'384;  // entries looked at under one lock, about 50 us
constexpr BlockRef kAdoptStep = 1024;   // entries that may change hands under one lock, 0.1 ms

}  // namespace

Tick BlockStore::NowTick() const {
  return 1 + static_cast<Tick>((options_.clock.Now() - start_) / kTickLength);
}

RetentionTicks BlockStore::ToTicks(const RetentionSpec& retention) const {
  const auto after = [now = NowTick()](std::chrono::milliseconds duration) {
    return now +
           static_cast<Tick>((duration + kTickLength - std::chrono::milliseconds(1)) / kTickLength);
  };
  RetentionTicks ticks;
  ticks.priority = retention.priority;
  if (retention.priority_duration) ticks.priority_until = after(*retention.priority_duration);
  if (retention.ttl && !PlantedBug("retain.expiry_ignored"))
    ticks.expires_at = after(*retention.ttl);
  return ticks;
}

BlockStore::Evicted BlockStore::Evict(const SpaceEntry& space, std::span<const PrefixHash> hashes) {
  Evicted result;
  FaultAt("evict");
  if (PlantedBug("evict.keeps_blocks")) return result;
  BlockRef entries;
  {
    MutexLock lock(mutex_);
    entries = index_.entries_used();
  }
  const BlockRef steps = entries / kScanStep + 1;
  const auto scan = [&](bool orphans_only, bool descending) {
    uint64_t doomed = 0;
    for (BlockRef step = 0; step < steps; ++step) {
      const BlockRef begin = (descending ? steps - 1 - step : step) * kScanStep;
      MutexLock lock(mutex_);
      doomed += index_.DoomRange(space.slot, begin, begin + kScanStep, orphans_only, descending,
                                 &result.held);
    }
    return doomed;
  };
  if (hashes.empty()) {
    result.evicted = scan(/*orphans_only=*/false, /*descending=*/false);
    return result;
  }
  for (const PrefixHash& hash : hashes) {
    MutexLock lock(mutex_);
    MissReason reason = MissReason::kNone;
    const BlockRef block = index_.Find(space.id, hash, Fidelity::kUnspecified, &reason);
    if (block == kNoBlock) continue;
    if (index_.pins_of(block) > 0) {
      ++result.held;
      continue;
    }
    index_.Doom(block, MissReason::kEvicted);
    ++result.evicted;
  }
  // A chain's references ascend when the store was empty and descend when each of its puts evicted
  // a tail: scanning both ways in turn, a few passes find every descendant.
  const uint64_t held_by_name = result.held;
  for (uint64_t doomed = 1; doomed > 0;) {
    doomed = scan(/*orphans_only=*/true, /*descending=*/false);
    result.held = held_by_name;  // the last scan counts those that stayed
    doomed += scan(/*orphans_only=*/true, /*descending=*/true);
    result.evicted += doomed;
    if (doomed > 0) result.held = held_by_name;
  }
  return result;
}

size_t BlockStore::Retain(const SpaceEntry& space, std::span<const PrefixHash> hashes,
                          const RetentionSpec& retention) {
  const RetentionTicks ticks = ToTicks(retention);
  size_t retained = 0;
  FaultAt("retain");
  while (!hashes.empty()) {
    const size_t step = std::min(kBlocksPerLock, hashes.size());
    MutexLock lock(mutex_);
    index_.Advance(NowTick(), kExpiriesPerOperation);
    for (const PrefixHash& hash : hashes.first(step)) {
      MissReason reason = MissReason::kNone;
      const BlockRef block = index_.Find(space.id, hash, Fidelity::kUnspecified, &reason);
      if (block == kNoBlock) continue;
      index_.SetRetention(block, ticks);
      if (index_.on_ssd(block)) RetainOnSsd(block);
      ++retained;
    }
    hashes = hashes.subspan(step);
  }
  return retained;
}

void BlockStore::Advance() {
  for (size_t done = 0; done < kExpiriesPerRound; done += kBlocksPerLock) {
    MutexLock lock(mutex_);
    if (index_.Advance(NowTick(), kBlocksPerLock) < kBlocksPerLock) return;
  }
}

void BlockStore::Adopt(const SpaceEntry& space) {
  if (space.account == kSharedAccount || !space.awaited.exchange(false)) return;
  BlockRef end;
  {
    MutexLock lock(mutex_);
    end = index_.entries_used();
  }
  while (end > 0) {
    const BlockRef begin = end - std::min(kAdoptStep, end);
    {
      MutexLock lock(mutex_);
      index_.AdoptSsd(space.slot, begin, end);
    }
    for (size_t settled = kBlocksPerLock; settled == kBlocksPerLock;) {
      MutexLock lock(mutex_);
      settled = index_.SettleSsdQuotas(kBlocksPerLock);
    }
    end = begin;
  }
}

BlockStore::Stats BlockStore::stats() const {
  MutexLock lock(mutex_);
  Stats stats;
  stats.blocks = index_.size();
  stats.memory_blocks = index_.memory_blocks();
  stats.ssd_blocks = index_.ssd_blocks();
  stats.ssd_bytes = index_.ssd_bytes();
  stats.hbm_blocks = index_.hbm_blocks();
  stats.dropped_memory = dropped_memory_;
  stats.dropped_hbm = dropped_hbm_;
  stats.overtaken = overtaken_;
  stats.restored = restored_;
  stats.blocks_max = index_.blocks_max();
  stats.pinned_blocks = index_.pinned_blocks();
  stats.stored = stored_;
  stats.conflicts = conflicts_;
  std::copy(std::begin(removed_), std::end(removed_), stats.removed);
  return stats;
}

std::vector<BlockStore::TenantUsage> BlockStore::tenant_usage() const {
  MutexLock lock(mutex_);
  std::vector<TenantUsage> usage = tenants_;
  for (size_t account = 0; account < usage.size(); ++account) {
    usage[account].used_bytes = index_.used_bytes(static_cast<AccountRef>(account));
    usage[account].ssd_used_bytes = index_.ssd_used_bytes(static_cast<AccountRef>(account));
  }
  return usage;
}

}  // namespace larder::server
