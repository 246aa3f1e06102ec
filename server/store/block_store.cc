#include "server/store/block_store.h"

#include <algorithm>
#include <cstring>

#include "server/base/check.h"
#include "server/base/fault_point.h"
#include "server/base/planted_bug.h"
#include "server/store/frame_key.h"

namespace larder::server {

bool IsRaw(const FrameView& frame) {
  const auto descriptors = frame.descriptors();
  return std::all_of(descriptors.begin(), descriptors.end(),
                     [](const CodecDescriptor& row) { return row.codec_id == kCodecRaw; });
}

void PinSet::Reset() {
  if (store_ != nullptr) store_->Unpin(blocks_);
  store_ = nullptr;
  blocks_.clear();
}

BlockStore::BlockStore(const Options& options)
    : options_(options),
      start_(options.clock.Now()),
      index_(options.blocks_max, options.order, Fingerprinter(options.fingerprint_secret),
             [this](const Removed& removed) { OnRemoved(removed); },
             {.with_ssd = options.ssd != nullptr,
              .with_hbm = options.hbm != nullptr,
              .limits = options.tenants.limits(),
              .ssd_limits = options.tenants.ssd_limits(),
              .account_of =
                  [&spaces = options.spaces](SpaceSlot slot) -> AccountRef {
                    return spaces.at(slot).account;
                  }}),
      tenants_(1 + options.tenants.limits().size()) {}

BlockStore::Prefix BlockStore::FindPrefix(const SpaceEntry& space,
                                          std::span<const PrefixHash> hashes, Fidelity fidelity_min,
                                          bool pin) {
  Prefix prefix;
  std::vector<BlockRef> found(hashes.size());
  size_t length = 0;
  while (length < hashes.size()) {
    const size_t step = std::min(kBlocksPerLock, hashes.size() - length);
    MutexLock lock(mutex_);
    index_.Advance(NowTick(), kExpiriesPerOperation);
    const auto match = index_.Match(space.id, hashes.subspan(length, step), fidelity_min,
                                    std::span(found).subspan(length, step));
    for (size_t i = length; i < length + match.length; ++i) {
      prefix.blocks.push_back(index_.ResidencyOf(found[i]));
      if (pin) index_.Pin(found[i]);
    }
    length += match.length;
    prefix.miss_reason = match.miss_reason;
    if (match.length < step) break;
  }
  if (!pin) return prefix;

  found.resize(length);
  // Pinned blocks can not go, so the lock may be let go between steps. Tail first: the head ends up
  // warmest.
  for (size_t end = length; end > 0;) {
    const size_t begin = end - std::min(kBlocksPerLock, end);
    MutexLock lock(mutex_);
    index_.TouchChain(std::span(found).subspan(begin, end - begin));
    for (size_t i = begin; i < end; ++i) OfferLocked(found[i]);
    end = begin;
  }
  prefix.pins = PinSet(this, std::move(found));
  return prefix;
}

FrameHeader BlockStore::HeaderOf(const Residency& residency) const {
  FrameHeader header;
  const ByteSpans spans = options_.dram.SpansOf(residency.slab, sizeof(header));
  LARDER_CHECK(spans[0].size() == sizeof(header));  // a page holds the header
  std::memcpy(&header, spans[0].data(), sizeof(header));
  return header;
}

bool BlockStore::SameKey(const SpaceEntry& space, const PrefixHash& hash,
                         const Residency& residency) const {
  const FrameHeader header = HeaderOf(residency);
  return header.magic == kFrameMagic && header.frame_bytes == residency.frame_bytes &&
         (header.space_digest == space.digest || PlantedBug("key.without_space")) &&
         HashOf(header) == hash;
}

std::variant<PinnedFrame, MissReason> BlockStore::PinFrame(const SpaceEntry& space,
                                                           const PrefixHash& hash,
                                                           Fidelity fidelity_min) {
  PinnedFrame frame;
  FaultAt("get.pin");
  {
    MutexLock lock(mutex_);
    index_.Advance(NowTick(), kExpiriesPerOperation);
    MissReason reason = MissReason::kNone;
    const BlockRef block = index_.FindHeld(space.id, hash, fidelity_min, &reason);
    if (block == kNoBlock) return reason;
    index_.Pin(block);
    frame.pin = PinSet(this, {block});
    frame.residency = index_.ResidencyOf(block);
  }
  return Located(space, hash, std::move(frame));
}

std::variant<PinnedFrame, MissReason> BlockStore::PinnedAgain(const SpaceEntry& space,
                                                              const PrefixHash& hash,
                                                              PinSet block) {
  PinnedFrame frame;
  frame.pin = std::move(block);
  {
    MutexLock lock(mutex_);
    frame.residency = index_.ResidencyOf(frame.pin.blocks()[0]);
  }
  return Located(space, hash, std::move(frame));
}

std::variant<PinnedFrame, MissReason> BlockStore::Located(const SpaceEntry& space,
                                                          const PrefixHash& hash,
                                                          PinnedFrame frame) {
  if (!frame.residency.in_memory()) return frame;
  if (!SameKey(space, hash, frame.residency)) {
    Quarantine(space, hash, frame, "the frame's header does not carry the key it is indexed under");
    return MissReason::kQuarantined;
  }
  frame.spans = options_.dram.SpansOf(frame.residency.slab, frame.residency.frame_bytes);
  return frame;
}

PinSet BlockStore::PinBlock(const SpaceEntry& space, const PrefixHash& hash) {
  MutexLock lock(mutex_);
  MissReason reason = MissReason::kNone;
  const BlockRef block = index_.Find(space.id, hash, Fidelity::kUnspecified, &reason);
  if (block == kNoBlock) return {};
  index_.Pin(block);
  return PinSet(this, {block});
}

PinSet BlockStore::PinAgain(const PinSet& block) {
  const BlockRef ref = block.blocks()[0];
  MutexLock lock(mutex_);
  index_.Pin(ref);
  return PinSet(this, {ref});
}

SlabHandle BlockStore::Reserve(const SpaceEntry& space, uint64_t frame_bytes, uint8_t priority) {
  if (FaultAt("put.reserve") != 0) return {};
  const Newcomer newcomer = {space.account, priority, frame_bytes};
  for (bool fits = false; !fits;) {
    MutexLock lock(mutex_);
    const uint64_t used = index_.used_bytes(space.account);
    fits = index_.MakeRoomInQuota(newcomer, kBlocksPerLock);
    if (!fits && index_.used_bytes(space.account) == used) {
      ++tenants_[space.account].no_room_blocks;
      return {};
    }
  }
  for (;;) {
    if (const auto slab = options_.dram.Reserve(frame_bytes)) {
      return SlabHandle(&options_.dram, *slab, frame_bytes);
    }
    MutexLock lock(mutex_);
    if (!index_.EvictColdest(newcomer)) {
      ++tenants_[space.account].no_room_blocks;
      return {};
    }
  }
}

bool BlockStore::DiffersLocked(const Candidate& candidate, BlockRef block,
                               Fidelity fidelity) const {
  const FrameHeader& header = candidate.frame.header();
  const Residency residency = index_.ResidencyOf(block);
  const Checksum128 origin = OriginOf(header, IsRaw(candidate.frame));
  if (!residency.in_memory()) {
    // A put does not wait for a read from SSD or HBM: what is known of the frame is a tag.
    const uint32_t resident_tag = residency.in_hbm ? index_.hbm_origin_tag(block)
                                                   : index_.ssd_of(block).origin_tag;
    return resident_tag != 0 && OriginTag(origin) != 0 && resident_tag != OriginTag(origin);
  }
  const FrameHeader resident = HeaderOf(residency);
  const bool resident_raw = residency.codec_id == kCodecRaw && resident.descriptor_count == 1;
  const Checksum128 resident_origin = OriginOf(resident, resident_raw);
  const bool comparable = origin != Checksum128{} && resident_origin != Checksum128{};
  // Without both origins only copies of one fidelity can be compared: byte for byte.
  return comparable ? origin != resident_origin
                    : fidelity == residency.fidelity && header.root != resident.root;
}

PutOutcome BlockStore::CheckLocked(const Candidate& candidate) const {
  const FrameHeader& header = candidate.frame.header();
  if (!candidate.parent.empty() && !index_.live(candidate.parent.blocks()[0])) {
    return PutOutcome::kParentAbsent;
  }
  MissReason reason = MissReason::kNone;
  const BlockRef block =
      index_.Find(candidate.space.id, HashOf(header), Fidelity::kUnspecified, &reason);
  if (block == kNoBlock) return PutOutcome::kStored;
  const Residency residency = index_.ResidencyOf(block);
  const Fidelity fidelity = candidate.stored_fidelity.value_or(candidate.frame.fidelity());
  if (DiffersLocked(candidate, block, fidelity) && !PlantedBug("put.conflict_ignored")) {
    ++conflicts_;
    return PutOutcome::kConflict;
  }
  if (fidelity <= residency.fidelity) return PutOutcome::kAlreadyPresent;
  // The better copy takes the place of the resident one, unless somebody was promised that.
  return index_.pins_of(block) > 0 ? PutOutcome::kNoRoom : PutOutcome::kStored;
}

PutOutcome BlockStore::Check(const Candidate& candidate) const {
  MutexLock lock(mutex_);
  return CheckLocked(candidate);
}

BlockStore::Published BlockStore::Publish(const Candidate& candidate, SlabHandle slab) {
  const FrameHeader& header = candidate.frame.header();
  MutexLock lock(mutex_);
  Published published{CheckLocked(candidate), {}};
  BlockRef block = kNoBlock;
  // Once more: other puts of the tenant may have landed since Reserve().
  if (published.outcome == PutOutcome::kStored &&
      !index_.MakeRoomInQuota({.account = candidate.space.account,
                               .priority = candidate.retention.priority,
                               .frame_bytes = header.frame_bytes},
                              kBlocksPerLock)) {
    ++tenants_[candidate.space.account].no_room_blocks;
    return {PutOutcome::kNoRoom, {}};
  }
  if (published.outcome == PutOutcome::kStored) {
    const Residency residency{slab.slab(), static_cast<uint32_t>(header.frame_bytes),
                              static_cast<uint8_t>(candidate.frame.descriptors()[0].codec_id),
                              candidate.frame.fidelity()};
    const BlockRef parent = candidate.parent.empty() ? kNoBlock : candidate.parent.blocks()[0];
    block = index_.Insert(candidate.space.id, candidate.space.slot, HashOf(header), parent,
                          residency, ToTicks(candidate.retention));
    if (block == kNoBlock) return {PutOutcome::kNoRoom, {}};
    slab.Detach();
    OfferLocked(block);
    ++stored_;
    candidate.space.blocks.fetch_add(1, std::memory_order_relaxed);
    candidate.space.stored_bytes.fetch_add(header.frame_bytes, std::memory_order_relaxed);
    if (options_.events.watched()) {
      options_.events.Record(EventKind::kStored, candidate.space.id, HashOf(header),
                             ParentOf(header));
    }
  } else if (published.outcome == PutOutcome::kAlreadyPresent) {
    MissReason reason = MissReason::kNone;
    block = index_.Find(candidate.space.id, HashOf(header), Fidelity::kUnspecified, &reason);
  } else {
    return published;
  }
  index_.Pin(block);
  published.pin = PinSet(this, {block});
  return published;
}

void BlockStore::TouchAncestors(const PinSet& block) {
  // The pin keeps every ancestor, so the lock may be let go between steps.
  for (BlockRef next = block.blocks()[0]; next != kNoBlock;) {
    MutexLock lock(mutex_);
    next = index_.TouchAncestors(next, kBlocksPerLock);
  }
}

void BlockStore::Unpin(std::span<const BlockRef> blocks) {
  while (!blocks.empty()) {
    const size_t step = std::min(kBlocksPerLock, blocks.size());
    MutexLock lock(mutex_);
    for (const BlockRef block : blocks.first(step)) index_.Unpin(block);
    blocks = blocks.subspan(step);
  }
}

void BlockStore::Quarantine(const SpaceEntry& space, const PrefixHash& hash,
                            const PinnedFrame& frame, std::string_view reason) {
  options_.quarantine.Add(
      {space.id, hash, TierKind::kDram, std::string(reason), options_.clock.Now()});
  MutexLock lock(mutex_);
  index_.Doom(frame.pin.blocks()[0], MissReason::kQuarantined);
}

}  // namespace larder::server
