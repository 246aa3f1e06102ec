// Upkeep of the resident blocks: retention, expiry, operators' removal, counters. The data path is
// in block_store.cc.
#include <algorithm>

#include "server/store/block_store.h"

namespace larder::server {
namespace {

constexpr auto kTickLength = std::chrono::milliseconds(100);
constexpr size_t kExpiriesPerRound =
    100'000;  // the janitor's own step, about 20 ms in slices of kBlocksPerLock
constexpr BlockRef kScanStep = 16'384;  // entries looked at under one lock, about 50 us

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
  if (retention.ttl) ticks.expires_at = after(*retention.ttl);
  return ticks;
}

BlockStore::Evicted BlockStore::Evict(const SpaceEntry& space, std::span<const PrefixHash> hashes) {
  Evicted result;
  const auto scan = [&](bool orphans_only) {
    uint64_t doomed = 0;
    for (BlockRef begin = 0;; begin += kScanStep) {
      MutexLock lock(mutex_);
      if (begin >= index_.entries_used()) return doomed;
      doomed += index_.DoomRange(space.slot, begin, begin + kScanStep, orphans_only, &result.held);
    }
  };
  if (hashes.empty()) {
    result.evicted = scan(/*orphans_only=*/false);
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
  // Parents mostly have lower references than their children, so one pass is nearly always enough.
  for (;;) {
    const uint64_t held_before = result.held;
    const uint64_t doomed = scan(/*orphans_only=*/true);
    result.evicted += doomed;
    if (doomed == 0) return result;
    result.held = held_before;  // the next pass counts them again
  }
}

size_t BlockStore::Retain(const SpaceEntry& space, std::span<const PrefixHash> hashes,
                          const RetentionSpec& retention) {
  const RetentionTicks ticks = ToTicks(retention);
  size_t retained = 0;
  while (!hashes.empty()) {
    const size_t step = std::min(kBlocksPerLock, hashes.size());
    MutexLock lock(mutex_);
    index_.Advance(NowTick(), kExpiriesPerOperation);
    for (const PrefixHash& hash : hashes.first(step)) {
      MissReason reason = MissReason::kNone;
      const BlockRef block = index_.Find(space.id, hash, Fidelity::kUnspecified, &reason);
      if (block == kNoBlock) continue;
      index_.SetRetention(block, ticks);
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

BlockStore::Stats BlockStore::stats() const {
  MutexLock lock(mutex_);
  Stats stats;
  stats.blocks = index_.size();
  stats.blocks_max = index_.blocks_max();
  stats.pinned_blocks = index_.pinned_blocks();
  stats.stored = stored_;
  stats.conflicts = conflicts_;
  std::copy(std::begin(removed_), std::end(removed_), stats.removed);
  return stats;
}

}  // namespace larder::server
