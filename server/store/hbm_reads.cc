#include "server/store/hbm_reads.h"

#include <algorithm>
#include <utility>

#include "server/base/planted_bug.h"
#include "server/store/frame_verify.h"

namespace larder::server {

void HbmReads::Read(const SpaceEntry& space, const PrefixHash& hash, PinnedFrame pinned,
                    TimePoint deadline, std::function<void(FetchAnswer)> done) {
  const TimePoint now = options_.clock.Now();
  if (deadline == TimePoint::max()) deadline = now + SsdReads::kPatience;
  if (deadline - SsdReads::kAnswerMargin < now) return done(MissReason::kOverDeadline);
  const BlockRef block = pinned.pin.blocks()[0];
  PinSet own = options_.blocks.PinAgain(pinned.pin);
  {
    MutexLock lock(mutex_);
    const auto [found, is_new] = reading_.try_emplace(block);
    found->second.push_back({&space, hash, std::move(pinned), deadline, std::move(done)});
    // A pin ends under the store's lock, not under this one.
    if (!is_new) return;
  }
  Begin(std::move(own), hash);
}

void HbmReads::Bring(PinSet block) {
  {
    MutexLock lock(mutex_);
    if (!reading_.try_emplace(block.blocks()[0]).second) return;
  }
  Begin(std::move(block), PrefixHash{});
}

void HbmReads::Begin(PinSet pin, const PrefixHash& hash) {
  const BlockRef block = pin.blocks()[0];
  const auto place = options_.blocks.HbmPlaceOf(pin);
  if (!place) return End(block, MissReason::kBusy);  // it left HBM since it was found there
  const auto copy = std::make_shared<Copy>(Copy{std::move(pin), hash, place->space, {}});
  const uint64_t before = bytes_.fetch_add(place->frame_bytes);
  if (before == 0 || before + place->frame_bytes <= options_.bytes_max) {
    copy->slab = options_.blocks.Reserve(*place->space, place->frame_bytes, place->priority);
  }
  bool begun = false;
  if (copy->slab) {
    const ByteSpans spans = copy->slab.spans();
    begun = options_.tier.Read(place->slab, HostRanges(spans.begin(), spans.end()),
                               [this, copy, bytes = place->frame_bytes](CopyEnd end) {
                                 Copied(copy, end);
                                 bytes_.fetch_sub(bytes);
                               });
  }
  if (begun) {
    if (options_.begun) options_.begun();
    return;
  }
  bytes_.fetch_sub(place->frame_bytes);
  failures_.fetch_add(1, std::memory_order_relaxed);
  copy->slab.Reset();
  End(block, MissReason::kBusy);
}

std::string_view HbmReads::Take(Copy& copy) {
  const FrameFault fault = VerifyFrame(copy.slab.spans());
  if (fault != FrameFault::kNone && !PlantedBug("hbm.checksum_skipped")) {
    return FrameFaultText(fault);
  }
  if (options_.blocks.BringBack(copy.pin, std::move(copy.slab))) return {};
  return "the frame's header does not carry the key it is indexed under";
}

void HbmReads::Copied(const std::shared_ptr<Copy>& copy, CopyEnd end) {
  MissReason miss = MissReason::kBusy;
  if (end == CopyEnd::kDone) {
    const std::string_view fault = Take(*copy);
    if (fault.empty()) {
      brought_.fetch_add(1, std::memory_order_relaxed);
    } else {
      damaged_.fetch_add(1, std::memory_order_relaxed);
      miss = MissReason::kQuarantined;
      options_.blocks.QuarantineHbm(*copy->space, copy->hash, copy->pin, fault);
    }
  } else {
    failures_.fetch_add(1, std::memory_order_relaxed);
  }
  copy->slab.Reset();
  End(copy->pin.blocks()[0], miss);
  copy->pin.Reset();
}

void HbmReads::End(BlockRef block, MissReason miss) {
  std::vector<Waiter> waiters;
  {
    MutexLock lock(mutex_);
    const auto found = reading_.find(block);
    waiters = std::move(found->second);
    reading_.erase(found);
  }
  for (Waiter& waiter : waiters) Answer(std::move(waiter), miss);
}

void HbmReads::Answer(Waiter waiter, MissReason miss) {
  const Fidelity promised = waiter.pinned.residency.fidelity;
  auto found =
      options_.blocks.PinnedAgain(*waiter.space, waiter.hash, std::move(waiter.pinned.pin));
  auto* frame = std::get_if<PinnedFrame>(&found);
  if (frame == nullptr) return waiter.done(std::move(found));
  if (frame->residency.in_memory()) {
    if (frame->residency.fidelity < promised) return waiter.done(MissReason::kFidelity);
    return waiter.done(std::move(found));
  }
  if (options_.ssd != nullptr && options_.blocks.SsdServes(frame->pin, promised)) {
    options_.ssd->Read(*waiter.space, waiter.hash, std::move(*frame), waiter.deadline,
                       std::move(waiter.done));
    return;
  }
  frame->pin.Reset();
  waiter.done(miss);
}

size_t HbmReads::EndLate() {
  std::vector<Waiter> late;
  size_t reading = 0;
  {
    const TimePoint due = options_.clock.Now() + SsdReads::kAnswerMargin;
    MutexLock lock(mutex_);
    reading = reading_.size();
    for (auto& [block, waiters] : reading_) {
      const auto split = std::stable_partition(waiters.begin(), waiters.end(),
                                               [due](const Waiter& w) { return w.deadline > due; });
      late.insert(late.end(), std::make_move_iterator(split),
                  std::make_move_iterator(waiters.end()));
      waiters.erase(split, waiters.end());
    }
  }
  late_.fetch_add(late.size(), std::memory_order_relaxed);
  for (Waiter& waiter : late) waiter.done(MissReason::kOverDeadline);
  return reading;
}

HbmReads::Stats HbmReads::stats() const {
  return {.brought = brought_.load(),
          .failures = failures_.load(),
          .damaged = damaged_.load(),
          .late = late_.load()};
}

}  // namespace larder::server
