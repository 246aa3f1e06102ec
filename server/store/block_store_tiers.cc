// Residency over tiers under the store's lock: what leaves which tier, what is written to SSD, what
// is promoted, and what a restart finds. The data path is in block_store.cc.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "server/base/check.h"
#include "server/base/fault_point.h"
#include "server/store/block_store.h"
#include "server/store/frame_key.h"
#include "server/store/ssd_key.h"

namespace larder::server {
namespace {

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr BlockRef kScanStep = 16'384;  // entries looked at under one lock, about 50 us
constexpr size_t kWantedFromHbmMax = 1024;  // a hint: whoever waits asks again

RemovalReason RemovalReasonOf(const Removed& removed) {
  if (removed.lost) return RemovalReason::kLost;
  if (removed.by_pressure) return RemovalReason::kPressure;
  if (removed.reason == MissReason::kNone) return RemovalReason::kReplaced;
  if (removed.reason == MissReason::kExpired) return RemovalReason::kExpired;
  if (removed.reason == MissReason::kQuarantined) return RemovalReason::kQuarantined;
  return RemovalReason::kOperator;
}

int64_t Millis(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

// Of times that went through ticks: by more than their rounding.
bool Differ(int64_t one_millis, int64_t other_millis) {
  return std::abs(one_millis - other_millis) > 10 * kTick.count();
}

}  // namespace

std::string BlockStore::SsdKeyOf(const Fingerprint& key, SpaceSlot space) const {
  return SsdKey{key, options_.spaces.at(space).id}.Bytes();
}

int64_t BlockStore::UnixMillis(Tick tick) const {
  if (tick == 0) return 0;
  const int64_t ahead = static_cast<int64_t>(tick) - static_cast<int64_t>(NowTick());
  return std::max<int64_t>(Millis(options_.clock.WallNow()) + ahead * kTick.count(), 1);
}

SsdRetention BlockStore::SsdRetentionOf(BlockRef block) const {
  const RetentionTicks ticks = index_.RetentionOf(block);
  return {ticks.priority, UnixMillis(ticks.expires_at), UnixMillis(ticks.priority_until)};
}

void BlockStore::RetainOnSsd(BlockRef block) {
  // An expired block's times are gone from the index: SSD must not take that for "never".
  if (!index_.live(block)) return;
  options_.ssd->Retain(SsdKeyOf(index_.key_of(block), index_.space_of(block)),
                       index_.ssd_of(block).location, SsdRetentionOf(block));
}

// 0 stays 0; what has passed already is due at once.
Tick BlockStore::TickOf(int64_t unix_millis) const {
  if (unix_millis == 0) return 0;
  const int64_t ahead = (unix_millis - Millis(options_.clock.WallNow())) / kTick.count();
  const int64_t tick = static_cast<int64_t>(NowTick()) + ahead;
  return static_cast<Tick>(std::clamp<int64_t>(tick, 1, UINT32_MAX));
}

void BlockStore::OnRemoved(const Removed& removed) {
  mutex_.AssertHeld();
  FaultAt("block.removed");
  const SpaceEntry& space = options_.spaces.at(removed.space);
  if (!removed.stays) {
    const RemovalReason reason = RemovalReasonOf(removed);
    ++removed_[static_cast<int>(reason)];
    overtaken_ += removed.overtaken;
    if (removed.by_pressure) ++tenants_[space.account].evicted_blocks;
    options_.metrics.CountRemoval(reason, removed.priority);
    space.blocks.fetch_sub(1, std::memory_order_relaxed);
    space.stored_bytes.fetch_sub(removed.residency.frame_bytes, std::memory_order_relaxed);
    // Of a block that is not in memory only its tier knows the hash: a watcher's view keeps it, which
    // costs it a miss.
    if (options_.events.watched() && removed.residency.in_memory()) {
      const FrameHeader header = HeaderOf(removed.residency);
      options_.events.Record(EventKind::kRemoved, space.id, HashOf(header), ParentOf(header));
    }
  } else if (removed.by_pressure) {
    ++(removed.residency.in_hbm ? dropped_hbm_ : dropped_memory_);
    // What is left is the copy on SSD, which may be smaller.
    space.stored_bytes.fetch_add(
        uint64_t{index_.ssd_of(removed.block).location.frame_bytes} - removed.residency.frame_bytes,
        std::memory_order_relaxed);
  }
  if (removed.residency.in_hbm) options_.hbm->Free(removed.residency.slab);
  if (removed.residency.in_memory()) options_.dram.Free(removed.residency.slab);
  if (removed.ssd) options_.ssd->Erase(SsdKeyOf(removed.key, removed.space), removed.ssd);
}

void BlockStore::OfferLocked(BlockRef block) {
  if (options_.ssd == nullptr || !index_.WantsSsd(block) || index_.writing(block)) return;
  const bool admitted = options_.admission == SsdAdmission::kAll || index_.reused(block) ||
                        index_.priority_of(block) > kPriorityDefault;
  if (!admitted || !index_.SetQueued(block, true)) return;
  if (!write_queue_.Push(block)) index_.SetQueued(block, false);
}

std::optional<BlockStore::SsdPlace> BlockStore::SsdPlaceOf(const PinSet& block) const {
  const BlockRef ref = block.blocks()[0];
  MutexLock lock(mutex_);
  if (!index_.on_ssd(ref)) return std::nullopt;
  return SsdPlace{SsdKeyOf(index_.key_of(ref), index_.space_of(ref)), index_.ssd_of(ref).location};
}

bool BlockStore::Promote(BlockRef block, const SsdLocation& from, SlabHandle slab) {
  MutexLock lock(mutex_);
  if (!index_.present(block) || !index_.live(block) || index_.in_memory(block)) return false;
  if (index_.in_hbm(block)) return false;
  if (!index_.on_ssd(block) || !(index_.ssd_of(block).location == from)) return false;
  index_.AddMemory(block, slab.Detach());
  return true;
}

uint8_t BlockStore::PriorityOf(BlockRef block) const {
  MutexLock lock(mutex_);
  return index_.present(block) ? index_.priority_of(block) : 0;
}

std::vector<BlockRef> BlockStore::UnwrittenChain(BlockRef block, size_t limit) {
  std::vector<BlockRef> chain;
  MutexLock lock(mutex_);
  if (!index_.present(block)) return {};
  const BlockRef last = block;
  bool gap_above = false;
  for (; block != kNoBlock; block = index_.parent_of(block)) {
    if (index_.on_ssd(block)) {
      if (!gap_above && index_.ChainOnSsd(block)) break;
      gap_above = true;  // an ancestor has lost its copy
      continue;
    }
    gap_above = false;
    if (index_.writing(block)) continue;
    // Without an ancestor on SSD it would be found by no restart.
    if (!index_.WantsSsd(block)) {
      // From there nothing is written: it has to come back first.
      if (index_.in_hbm(block) && wanted_from_hbm_.size() < kWantedFromHbmMax) {
        wanted_from_hbm_.push_back(block);
      }
      return {};
    }
    chain.push_back(block);
  }
  // A lesser copy is there, the better one is not.
  if (chain.empty() && index_.WantsSsd(last) && !index_.writing(last)) chain.push_back(last);
  std::reverse(chain.begin(), chain.end());
  if (chain.size() > limit) chain.resize(limit);
  return chain;
}

void BlockStore::Dequeued(BlockRef block) {
  MutexLock lock(mutex_);
  if (index_.present(block)) index_.SetQueued(block, false);
}

std::optional<BlockStore::SsdWrite> BlockStore::BeginWrite(BlockRef block) {
  SsdWrite write;
  FaultAt("migrate.write");
  {
    MutexLock lock(mutex_);
    if (!index_.present(block)) return std::nullopt;
    index_.SetQueued(block, false);
    if (!index_.WantsSsd(block) || index_.writing(block)) return std::nullopt;
    const Residency residency = index_.ResidencyOf(block);
    const BlockRef parent = index_.parent_of(block);
    const SpaceSlot space = index_.space_of(block);
    index_.Pin(block);
    index_.SetWriting(block, true);
    write.pin = PinSet(this, {block});
    write.space = &options_.spaces.at(space);
    write.copy.codec_id = residency.codec_id;
    write.copy.fidelity = static_cast<uint8_t>(residency.fidelity);
    write.record.key = SsdKeyOf(index_.key_of(block), space);
    if (parent != kNoBlock) write.record.parent = SsdKeyOf(index_.key_of(parent), space);
    write.record.codec = residency.codec_id;
    write.record.fidelity = write.copy.fidelity;
    write.retention = index_.RetentionOf(block);
    const SsdRetention retention = SsdRetentionOf(block);
    write.record.priority = retention.priority;
    write.record.expires_ms = retention.expires_ms;
    write.record.priority_until_ms = retention.priority_until_ms;
    write.spans = options_.dram.SpansOf(residency.slab, residency.frame_bytes);
    const FrameHeader header = HeaderOf(residency);
    write.record.frame_root = header.root;
    const bool raw = residency.codec_id == kCodecRaw && header.descriptor_count == 1;
    write.copy.origin_tag = write.record.origin_tag = OriginTag(OriginOf(header, raw));
  }
  return write;
}

void BlockStore::EndWrite(SsdWrite write, std::optional<SsdLocation> location) {
  const BlockRef block = write.pin.blocks()[0];
  FaultAt("migrate.written");
  MutexLock lock(mutex_);
  index_.SetWriting(block, false);
  if (location) {
    write.copy.location = *location;
    index_.AddSsd(block, write.copy);
    if (index_.RetentionOf(block) != write.retention) RetainOnSsd(block);  // it changed meanwhile
  }
  // Not through the pin's own end, which would lock again.
  index_.Unpin(block);
  write.pin.Detach();
}

BlockStore::Written BlockStore::WrittenOf(const PinSet& block) {
  const BlockRef ref = block.blocks()[0];
  MutexLock lock(mutex_);
  if (!index_.live(ref)) return Written::kGone;
  if (!index_.WantsSsd(ref) && index_.ChainOnSsd(ref)) return Written::kYes;
  return index_.writing(ref) ? Written::kUnderWay : Written::kNo;
}

void BlockStore::RefuseWrite(SsdWrite write) {
  {
    MutexLock lock(mutex_);
    index_.SetTooLargeForSsd(write.pin.blocks()[0]);
  }
  EndWrite(std::move(write), std::nullopt);
}

bool BlockStore::MakeRoomOnSsd(uint64_t bytes, uint64_t bytes_max, const SsdNeed& need) {
  for (;;) {
    MutexLock lock(mutex_);
    for (size_t step = 0; step < kBlocksPerLock; ++step) {
      if (bytes <= bytes_max && index_.ssd_bytes() <= bytes_max - bytes) return true;
      if (!index_.EvictColdestSsd(need)) return false;
    }
  }
}

BlockRef BlockStore::SweepUnwritten(BlockRef begin) {
  MutexLock lock(mutex_);
  const BlockRef end = std::min(begin + kScanStep, index_.entries_used());
  for (BlockRef block = begin; block < end; ++block) {
    if (index_.present(block)) OfferLocked(block);
  }
  return end == index_.entries_used() ? 0 : end;
}

std::vector<BlockRef> BlockStore::WarmestFirst() {
  MutexLock lock(mutex_);
  std::vector<BlockRef> blocks = index_.DrainOrder();
  std::reverse(blocks.begin(), blocks.end());
  return blocks;
}

std::vector<bool> BlockStore::KeepOnSsd(std::span<const SsdEntry> entries) {
  std::vector<bool> keep(entries.size());
  MutexLock lock(mutex_);
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto key = SsdKey::Parse(entries[i].record.key);
    if (!key) continue;
    keep[i] = index_.HoldsSsd(key->fingerprint, entries[i].location);
    if (!keep[i]) {
      index_.DropSsd(key->fingerprint, entries[i].location, MissReason::kEvicted);
    }
  }
  return keep;
}

bool BlockStore::MovedOnSsd(const SsdEntry& from, const SsdLocation& to) {
  const auto key = SsdKey::Parse(from.record.key);
  MutexLock lock(mutex_);
  if (!key || !index_.MoveSsd(key->fingerprint, from.location, to)) return false;
  // What was said of the old place while the block was on its way did not reach the new one.
  const BlockRef block = index_.FindKey(key->fingerprint);
  const SsdRetention now = SsdRetentionOf(block);
  if (now.priority != from.record.priority || Differ(now.expires_ms, from.record.expires_ms) ||
      Differ(now.priority_until_ms, from.record.priority_until_ms)) {
    RetainOnSsd(block);
  }
  return true;
}

void BlockStore::DamagedOnSsd(const SsdEntry& entry, std::string_view reason) {
  const auto key = SsdKey::Parse(entry.record.key);
  if (!key) return;
  // The hash lies in the damaged frame alone: the list names the space.
  options_.quarantine.Add(
      {key->space, PrefixHash{}, TierKind::kSsd, std::string(reason), options_.clock.Now()});
  MutexLock lock(mutex_);
  const BlockRef block =
      index_.DropSsd(key->fingerprint, entry.location, MissReason::kQuarantined);
  if (block != kNoBlock && index_.present(block)) OfferLocked(block);
}

void BlockStore::QuarantineSsd(const SpaceEntry& space, const PrefixHash& hash, const PinSet& block,
                               const SsdLocation& location, std::string_view reason) {
  std::string key;
  {
    MutexLock lock(mutex_);
    const BlockRef ref = block.blocks()[0];
    const Fingerprint fingerprint = index_.key_of(ref);
    if (index_.DropSsd(fingerprint, location, MissReason::kQuarantined) == kNoBlock) return;
    key = SsdKeyOf(fingerprint, index_.space_of(ref));
  }
  options_.quarantine.Add(
      {space.id, hash, TierKind::kSsd, std::string(reason), options_.clock.Now()});
  options_.ssd->Erase(key, location);
}

// nullopt when it is not an entry of this store's, or there are too many spaces.
std::optional<BlockIndex::Restored> BlockStore::RestoredOf(const SsdEntry& entry) {
  const auto key = SsdKey::Parse(entry.record.key);
  const auto parent = SsdKey::Parse(entry.record.parent);
  if (!key || (!parent && !entry.record.parent.empty())) return std::nullopt;
  const auto slot = options_.spaces.Await(key->space);
  if (!slot) return std::nullopt;
  FaultAt("restore.block");
  BlockIndex::Restored restored;
  restored.key = key->fingerprint;
  restored.has_parent = parent.has_value();
  if (parent) restored.parent = parent->fingerprint;
  restored.space = *slot;
  restored.copy.location = entry.location;
  restored.copy.codec_id = static_cast<uint8_t>(entry.record.codec);
  restored.copy.fidelity = entry.record.fidelity;
  restored.copy.origin_tag = entry.record.origin_tag;
  restored.retention = {std::min<uint8_t>(entry.record.priority, kPriorityMax),
                        TickOf(entry.record.priority_until_ms), TickOf(entry.record.expires_ms)};
  return restored;
}

std::vector<bool> BlockStore::Restore(std::span<const SsdEntry> entries) {
  std::vector<bool> taken(entries.size());
  std::vector<std::pair<size_t, BlockIndex::Restored>> found;
  std::vector<Fingerprint> keys;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto restored = RestoredOf(entries[i]);
    if (!restored) continue;
    found.emplace_back(i, *restored);
    keys.push_back(restored->key);
    if (restored->has_parent) keys.push_back(restored->parent);
  }
  MutexLock lock(mutex_);
  index_.Prefetch(keys);
  for (const auto& [i, restored] : found) {
    const size_t before = index_.ssd_blocks();
    const auto bytes = index_.Restore(restored);
    if (!bytes) continue;
    taken[i] = true;
    const SpaceEntry& space = options_.spaces.at(restored.space);
    space.stored_bytes.fetch_add(static_cast<uint64_t>(*bytes), std::memory_order_relaxed);
    if (index_.ssd_blocks() == before) continue;  // it came before
    ++restored_;
    space.blocks.fetch_add(1, std::memory_order_relaxed);
  }
  return taken;
}

void BlockStore::EndRestore() {
  for (BlockRef begin = 0;; begin += kBlocksPerLock) {
    MutexLock lock(mutex_);
    if (begin >= index_.entries_used()) return;
    index_.DropOrphans(begin, begin + kBlocksPerLock);
  }
}

}  // namespace larder::server
