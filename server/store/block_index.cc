#include "server/store/block_index.h"

#include <algorithm>
#include <utility>

#include "server/base/check.h"
#include "server/base/planted_bug.h"

namespace larder::server {
namespace {

// An account has one number in all tiers.
std::vector<TenantLimits> SsdLimitsOf(const BlockIndexOptions& options) {
  if (options.ssd_limits.empty()) return std::vector<TenantLimits>(options.limits.size());
  LARDER_CHECK(options.ssd_limits.size() == options.limits.size());
  return options.ssd_limits;
}

}  // namespace

BlockIndex::BlockIndex(size_t blocks_max, EvictionOrderFactory order, Fingerprinter fingerprinter,
                       RemovalListener on_removed, BlockIndexOptions options)
    : fingerprinter_(fingerprinter),
      on_removed_(std::move(on_removed)),
      entries_(blocks_max),
      order_(blocks_max, order, options.limits,
             [this](BlockRef block) { return SlabBytes(entries_[block].frame_bytes); }),
      ssd_order_(options.with_ssd ? blocks_max : 0, order, SsdLimitsOf(options),
                 [this](BlockRef block) { return SsdCharge(block); }),
      ssd_(options.with_ssd ? blocks_max : 0),
      hbm_order_(options.with_hbm ? blocks_max : 0, order, {},
                 [](BlockRef) { return uint64_t{0}; }),
      hbm_origin_tags_(options.with_hbm ? blocks_max : 0),
      hbm_usable_(options.with_hbm),
      account_of_(std::move(options.account_of)),
      removals_(kRememberedRemovals) {}

BlockRef BlockIndex::FindAny(const Fingerprint& key) const {
  return table_.Find(key, [&](BlockRef ref) { return entries_[ref].fingerprint == key; });
}

MissReason BlockIndex::ReasonOfAbsent(const Fingerprint& key) const {
  const uint32_t remembered = removals_[key.low % kRememberedRemovals];
  const uint32_t tag = static_cast<uint32_t>(key.high >> 40) << 8;
  if (remembered == 0 || (remembered & ~0xFFu) != tag) return MissReason::kNeverSeen;
  return static_cast<MissReason>(remembered & 0xFF);
}

void BlockIndex::Remember(const Fingerprint& key, MissReason reason) {
  removals_[key.low % kRememberedRemovals] =
      (static_cast<uint32_t>(key.high >> 40) << 8) | static_cast<uint32_t>(reason);
}

MissReason BlockIndex::MissOf(BlockRef block, const Fingerprint& key, Fidelity fidelity_min) const {
  if (block == kNoBlock || entries_[block].doomed) return ReasonOfAbsent(key);
  if (entries_[block].fidelity < static_cast<uint8_t>(fidelity_min)) return MissReason::kFidelity;
  return MissReason::kNone;
}

BlockIndex::MatchResult BlockIndex::Match(SpaceId space, std::span<const PrefixHash> hashes,
                                          Fidelity fidelity_min, std::span<BlockRef> blocks) const {
  LARDER_DCHECK(blocks.size() >= hashes.size());
  // Three stages, each kDistance blocks behind the one before, so that the cache misses of many
  // blocks overlap: hash and load the bucket; load the entry of the first candidate; compare.
  constexpr size_t kDistance = 16;
  constexpr size_t kRing = 64;
  static_assert(kRing > 2 * kDistance && (kRing & (kRing - 1)) == 0);
  struct Probe {
    Fingerprint key;
    BlockRef candidate;
  };
  Probe ring[kRing];
  for (size_t step = 0; step < hashes.size() + 2 * kDistance; ++step) {
    if (step < hashes.size()) {
      Probe& probe = ring[step % kRing];
      probe.key = fingerprinter_.Of(space, hashes[step]);
      table_.Prefetch(probe.key);
    }
    if (step >= kDistance && step - kDistance < hashes.size()) {
      Probe& probe = ring[(step - kDistance) % kRing];
      probe.candidate = table_.Candidate(probe.key);
      if (probe.candidate != kNoBlock) __builtin_prefetch(&entries_[probe.candidate]);
    }
    if (step < 2 * kDistance) continue;
    const size_t i = step - 2 * kDistance;
    const Probe& probe = ring[i % kRing];
    const bool first_fits =
        probe.candidate != kNoBlock && entries_[probe.candidate].fingerprint == probe.key;
    blocks[i] = first_fits ? probe.candidate : FindAny(probe.key);
    const MissReason reason = MissOf(blocks[i], probe.key, fidelity_min);
    if (reason != MissReason::kNone) return {i, reason};
  }
  return {hashes.size(), MissReason::kNone};
}

BlockRef BlockIndex::Find(SpaceId space, const PrefixHash& hash, Fidelity fidelity_min,
                          MissReason* reason) const {
  const Fingerprint key = fingerprinter_.Of(space, hash);
  const BlockRef block = FindAny(key);
  *reason = MissOf(block, key, fidelity_min);
  return *reason == MissReason::kNone ? block : kNoBlock;
}

BlockRef BlockIndex::FindHeld(SpaceId space, const PrefixHash& hash, Fidelity fidelity_min,
                              MissReason* reason) const {
  const Fingerprint key = fingerprinter_.Of(space, hash);
  const BlockRef block = FindAny(key);
  // A write to SSD has a pin too, and promised nothing to anybody.
  if (block != kNoBlock && entries_[block].expired &&
      entries_[block].pins > entries_[block].writing) {
    *reason = MissReason::kNone;
    return block;
  }
  *reason = MissOf(block, key, fidelity_min);
  return *reason == MissReason::kNone ? block : kNoBlock;
}

void BlockIndex::TouchChain(std::span<const BlockRef> head_first) {
  constexpr size_t kDistance = 8;
  for (size_t i = head_first.size(); i-- > 0;) {
    if (i >= kDistance) OrderOf(head_first[i - kDistance]).Prefetch(head_first[i - kDistance]);
    entries_[head_first[i]].reused = 1;
    OrderOf(head_first[i]).Touch(head_first[i]);
  }
}

BlockRef BlockIndex::TouchAncestors(BlockRef block, size_t limit) {
  for (; block != kNoBlock && limit > 0; --limit, block = entries_[block].parent) {
    OrderOf(block).Touch(block);
  }
  return block;
}

void BlockIndex::Pin(BlockRef block) {
  if (PlantedBug("index.evict_pinned")) return;
  Entry& entry = entries_[block];
  LARDER_CHECK(entry.live && entry.pins < kPinsMax);
  if (entry.pins++ == 0) ++pinned_blocks_;
}

void BlockIndex::Unpin(BlockRef block) {
  if (PlantedBug("index.evict_pinned")) return;
  Entry& entry = entries_[block];
  LARDER_CHECK(entry.live && entry.pins > 0);
  if (--entry.pins > 0) return;
  --pinned_blocks_;
  if (entry.doomed && MayGo(entry)) {
    Remove(block, ReasonOfAbsent(entry.fingerprint), /*by_pressure=*/false);
  } else {
    Reconsider(block);
  }
}

void BlockIndex::Reconsider(BlockRef block) {
  const Entry& entry = entries_[block];
  const bool has_slab = entry.in_memory || entry.in_hbm;
  if (has_slab ? MayLeaveMemory(entry) : MayGo(entry)) OrderOf(block).Unpark(block);
}

BlockRef BlockIndex::NewEntry() {
  if (free_entry_ != kNoBlock) {
    const BlockRef block = free_entry_;
    free_entry_ = entries_[block].parent;
    return block;
  }
  if (entries_used_ == entries_.capacity()) return kNoBlock;
  return entries_used_++;
}

BlockRef BlockIndex::Insert(SpaceId space, SpaceSlot slot, const PrefixHash& hash, BlockRef parent,
                            const Residency& residency, const RetentionTicks& retention) {
  LARDER_CHECK(parent == kNoBlock || live(parent));
  const Fingerprint key = fingerprinter_.Of(space, hash);
  BlockRef block = FindAny(key);
  if (block != kNoBlock) {
    // Only a doomed block or a lesser copy may be replaced: put the old frame aside and keep its
    // place in the chain.
    Entry& old = entries_[block];
    LARDER_CHECK(old.doomed || old.fidelity < static_cast<uint8_t>(residency.fidelity));
    if (old.awaited) {
      old.parent = parent;
      if (parent != kNoBlock) ++entries_[parent].children;
    } else {
      if (old.pins > 0 || old.parent != parent) return kNoBlock;
      on_removed_(RemovedOf(block, old.doomed ? ReasonOfAbsent(key) : MissReason::kNone));
    }
    // A doomed block's bytes are not trusted; a lesser copy serves until the better one is written.
    if (old.on_ssd && old.doomed) {
      ForgetSsd(block);
      Uproot(block);
    }
    old.too_large = 0;
    old.stale = old.on_ssd;
    if (!old.in_memory) {
      const uint8_t priority = priority_of(block);
      OrderOf(block).Remove(block, std::nullopt);
      if (old.in_hbm) ForgetHbm(block);
      order_.Insert(block, key.low, priority, account_of_(slot));
      ++memory_blocks_;
    }
    const Tick before = NextDue(old);
    old.doomed = old.expired = old.awaited = 0;
    old.expires_at = old.priority_until = 0;
    Reschedule(block, before);
  } else {
    block = NewEntry();
    if (block == kNoBlock) return kNoBlock;
    Entry& entry = entries_[block];
    entry = Entry{};
    entry.fingerprint = key;
    entry.parent = parent;
    entry.space = slot;
    entry.live = 1;
    if (parent != kNoBlock && !PlantedBug("index.evict_parent")) ++entries_[parent].children;
    table_.Insert(key, block, [this](BlockRef ref) { return entries_[ref].fingerprint; });
    order_.Insert(block, key.low, retention.priority, account_of_(slot));
    ++memory_blocks_;
  }
  Entry& entry = entries_[block];
  const uint64_t bytes_before = SlabBytes(entry.frame_bytes);
  entry.in_memory = 1;
  entry.slab = residency.slab;
  entry.frame_bytes = residency.frame_bytes;
  entry.codec_id = residency.codec_id;
  entry.fidelity = static_cast<uint8_t>(residency.fidelity) & kFidelityMask;
  order_.Resized(block, bytes_before);
  SetRetention(block, retention);
  return block;
}

Tick BlockIndex::NextDue(const Entry& entry) const {
  if (entry.expires_at == 0) return entry.priority_until;
  if (entry.priority_until == 0) return entry.expires_at;
  return std::min(entry.expires_at, entry.priority_until);
}

void BlockIndex::Reschedule(BlockRef block, Tick before) {
  const Tick after = NextDue(entries_[block]);
  if (before == after) return;
  if (before != 0) due_.erase({before, block});
  if (after != 0) due_.insert({after, block});
}

void BlockIndex::SetRetention(BlockRef block, const RetentionTicks& retention) {
  Entry& entry = entries_[block];
  const Tick before = NextDue(entry);
  entry.expires_at = retention.expires_at;
  entry.priority_until = retention.priority_until;
  Reschedule(block, before);
  if (priority_of(block) != retention.priority) {
    OrderOf(block).SetPriority(block, entry.fingerprint.low, retention.priority);
  }
}

BlockRef BlockIndex::RemoveOne(BlockRef block, MissReason reason, bool by_pressure) {
  Entry& entry = entries_[block];
  LARDER_CHECK(entry.live && MayGo(entry));
  Removed removed = RemovedOf(block, reason);
  removed.by_pressure = by_pressure;
  removed.overtaken = by_pressure && entry.queued;
  if (entry.on_ssd) removed.ssd = ssd_[block].location;
  removed.lost = entry.in_hbm && hbm_lost_;
  if (!entry.awaited) on_removed_(removed);
  const Fingerprint key = entry.fingerprint;
  if (!entry.awaited) Remember(key, reason);
  if (entry.on_ssd) ForgetSsdSize(block);
  if (entry.in_memory) --memory_blocks_;
  OrderOf(block).Remove(block, by_pressure ? std::optional<uint64_t>(key.low) : std::nullopt);
  if (entry.in_hbm) ForgetHbm(block);
  table_.Erase(key, block);
  if (const Tick due = NextDue(entry); due != 0) due_.erase({due, block});

  const BlockRef parent = entry.parent;
  entry.live = 0;
  entry.parent = free_entry_;
  free_entry_ = block;
  if (parent != kNoBlock && !PlantedBug("index.evict_parent")) {
    LARDER_CHECK(entries_[parent].children > 0);
    --entries_[parent].children;
  }
  return parent;
}

void BlockIndex::Remove(BlockRef block, MissReason reason, bool by_pressure) {
  BlockRef parent = RemoveOne(block, reason, by_pressure);
  // What waited for its last child: a doomed ancestor goes too, any other may become a victim
  // again.
  while (parent != kNoBlock && MayGo(entries_[parent])) {
    if (!entries_[parent].doomed) {
      OrderOf(parent).Unpark(parent);
      return;
    }
    parent = RemoveOne(parent, ReasonOfAbsent(entries_[parent].fingerprint), false);
  }
}

void BlockIndex::Doom(BlockRef block, MissReason reason) {
  Entry& entry = entries_[block];
  LARDER_CHECK(entry.live);
  if (entry.doomed) return;
  entry.doomed = 1;
  Remember(entry.fingerprint, reason);
  if (MayGo(entry)) Remove(block, reason, /*by_pressure=*/false);
}

size_t BlockIndex::DoomRange(SpaceSlot slot, BlockRef begin, BlockRef end, bool orphans_only,
                             bool descending, uint64_t* held) {
  size_t doomed = 0;
  const BlockRef stop = std::min(end, entries_used_);
  for (BlockRef step = begin; step < stop; ++step) {
    const BlockRef block = descending ? stop - 1 - (step - begin) : step;
    const Entry& entry = entries_[block];
    if (!entry.live || entry.doomed || entry.space != slot) continue;
    if (orphans_only && (entry.parent == kNoBlock || !entries_[entry.parent].doomed)) continue;
    if (entry.pins > 0) {
      ++*held;
      continue;
    }
    Doom(block, MissReason::kEvicted);
    ++doomed;
  }
  return doomed;
}

size_t BlockIndex::Advance(Tick now, size_t limit) {
  RecallAwaitingQuota();
  size_t done = SettleSsdQuotas(limit);
  while (done < limit && !due_.empty() && due_.begin()->first <= now) {
    const BlockRef block = due_.begin()->second;
    Entry& entry = entries_[block];
    const Tick before = NextDue(entry);
    ++done;
    if (entry.expires_at != 0 && entry.expires_at <= now) {
      entry.expires_at = entry.priority_until = 0;
      entry.expired = 1;
      Reschedule(block, before);
      Doom(block, MissReason::kExpired);
      continue;
    }
    entry.priority_until = 0;
    Reschedule(block, before);
    OrderOf(block).SetPriority(block, entry.fingerprint.low, kPriorityDefault);
  }
  return done;
}

Residency BlockIndex::ResidencyOf(BlockRef block) const {
  const Entry& entry = entries_[block];
  return {entry.slab, entry.frame_bytes, entry.codec_id, static_cast<Fidelity>(entry.fidelity),
          entry.in_hbm != 0};
}

Removed BlockIndex::RemovedOf(BlockRef block, MissReason reason) const {
  Removed removed;
  removed.block = block;
  removed.residency = ResidencyOf(block);
  removed.space = entries_[block].space;
  removed.priority = priority_of(block);
  removed.reason = reason;
  removed.key = entries_[block].fingerprint;
  return removed;
}

}  // namespace larder::server
