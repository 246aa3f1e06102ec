// Residency in HBM under the store's lock: what moves there, what comes back, and what is lost with
// the device. The copies themselves are hbm_migrate's and hbm_reads'.
#include <cstring>
#include <utility>

#include "server/base/check.h"
#include "server/base/planted_bug.h"
#include "server/store/block_store.h"
#include "server/store/frame_key.h"

namespace larder::server {
namespace {

constexpr BlockRef kLoseStep = 16'384;  // entries looked at under one lock, about 50 us

}  // namespace

std::optional<BlockStore::HbmMove> BlockStore::BeginHbmMove() {
  MutexLock lock(mutex_);
  const BlockRef block = index_.ColdestForHbm();
  if (block == kNoBlock) return std::nullopt;
  const Residency residency = index_.ResidencyOf(block);
  std::optional<SlabRef> slab = options_.hbm->Reserve(residency.frame_bytes);
  for (size_t step = 0; !slab && step < kBlocksPerLock; ++step) {
    if (!index_.EvictColdestHbm(index_.priority_of(block))) return std::nullopt;
    slab = options_.hbm->Reserve(residency.frame_bytes);
  }
  if (!slab) return std::nullopt;
  HbmMove move;
  index_.Pin(block);
  move.pin = PinSet(this, {block});
  move.spans = options_.dram.SpansOf(residency.slab, residency.frame_bytes);
  move.slab = *slab;
  const FrameHeader header = HeaderOf(residency);
  const bool raw = residency.codec_id == kCodecRaw && header.descriptor_count == 1;
  move.origin_tag = OriginTag(OriginOf(header, raw));
  return move;
}

bool BlockStore::EndHbmMove(HbmMove move, bool copied) {
  const BlockRef block = move.pin.blocks()[0];
  MutexLock lock(mutex_);
  // Whoever else has it pinned reads it in memory, or was promised it.
  const bool written = copied || PlantedBug("hbm.name_before_data");
  const bool moves = written && !options_.hbm->lost() && index_.live(block) &&
                     index_.in_memory(block) && index_.pins_of(block) == 1;
  if (moves) {
    options_.dram.Free(index_.MoveToHbm(block, move.slab, move.origin_tag));
  } else {
    options_.hbm->Free(move.slab);
  }
  // Not through the pin's own end, which would lock again.
  index_.Unpin(block);
  move.pin.Detach();
  return moves;
}

std::optional<BlockStore::HbmPlace> BlockStore::HbmPlaceOf(const PinSet& block) const {
  const BlockRef ref = block.blocks()[0];
  MutexLock lock(mutex_);
  if (!index_.in_hbm(ref)) return std::nullopt;
  const Residency residency = index_.ResidencyOf(ref);
  return HbmPlace{residency.slab, residency.frame_bytes, index_.priority_of(ref),
                  &options_.spaces.at(index_.space_of(ref))};
}

bool BlockStore::BringBack(const PinSet& block, SlabHandle slab) {
  const BlockRef ref = block.blocks()[0];
  FrameHeader header;
  const ByteSpans spans = slab.spans();
  LARDER_CHECK(spans[0].size() >= sizeof(header));  // a page holds the header
  std::memcpy(&header, spans[0].data(), sizeof(header));
  MutexLock lock(mutex_);
  LARDER_CHECK(index_.in_hbm(ref));
  const SpaceEntry& space = options_.spaces.at(index_.space_of(ref));
  if (header.magic != kFrameMagic || header.frame_bytes != slab.bytes() ||
      header.space_digest != space.digest ||
      !(index_.KeyOf(space.id, HashOf(header)) == index_.key_of(ref))) {
    return false;
  }
  options_.hbm->Free(index_.MoveToMemory(ref, slab.Detach()));
  OfferLocked(ref);
  return true;
}

void BlockStore::QuarantineHbm(const SpaceEntry& space, const PrefixHash& hash, const PinSet& block,
                               std::string_view reason) {
  options_.quarantine.Add(
      {space.id, hash, TierKind::kHbm, std::string(reason), options_.clock.Now()});
  MutexLock lock(mutex_);
  const BlockRef ref = block.blocks()[0];
  if (index_.in_hbm(ref)) index_.DropHbm(ref, MissReason::kQuarantined);
}

bool BlockStore::SsdServes(const PinSet& block, Fidelity fidelity) const {
  const BlockRef ref = block.blocks()[0];
  MutexLock lock(mutex_);
  return index_.on_ssd(ref) && index_.ssd_of(ref).fidelity >= static_cast<uint8_t>(fidelity);
}

std::optional<PinSet> BlockStore::NextWantedFromHbm() {
  MutexLock lock(mutex_);
  while (!wanted_from_hbm_.empty()) {
    const BlockRef block = wanted_from_hbm_.front();
    wanted_from_hbm_.pop_front();
    if (!index_.present(block) || !index_.live(block) || !index_.in_hbm(block)) continue;
    index_.Pin(block);
    return PinSet(this, {block});
  }
  return std::nullopt;
}

void BlockStore::LoseHbm() {
  for (BlockRef begin = 0;; begin += kLoseStep) {
    MutexLock lock(mutex_);
    if (begin >= index_.entries_used()) return;
    index_.LoseHbm(begin, begin + kLoseStep);
  }
}

}  // namespace larder::server
