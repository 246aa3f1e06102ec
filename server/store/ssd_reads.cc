#include "server/store/ssd_reads.h"

#include <cstring>
#include <utility>

#include "server/base/fault_point.h"
#include "server/store/frame_key.h"

namespace larder::server {

void SsdReads::Read(const SpaceEntry& space, const PrefixHash& hash, PinnedFrame pinned,
                    TimePoint deadline, std::function<void(FetchAnswer)> done) {
  const TimePoint now = options_.clock.Now();
  const Duration usual(usual_ns_.load(std::memory_order_relaxed));
  if (deadline == TimePoint::max()) deadline = now + kPatience;
  // Early: what usually takes longer than there is time is not begun. But for one now and then, or a device that was
  // slow for a moment would never be found fast again.
  const TimePoint answer_by = deadline - kAnswerMargin;
  if (answer_by < now + usual && (answer_by <= now || !MayProbe(now))) {
    return done(MissReason::kOverDeadline);
  }
  Start({&space, hash, std::move(pinned), deadline, std::move(done)});
}

bool SsdReads::MayProbe(TimePoint now) {
  TimePoint last = probed_.load(std::memory_order_relaxed);
  if (last != TimePoint::min() && now - last < kProbeEvery) return false;
  return probed_.compare_exchange_strong(last, now, std::memory_order_relaxed);
}

void SsdReads::Start(Waiter waiter) {
  const BlockRef block = waiter.pinned.pin.blocks()[0];
  const auto place = options_.blocks.SsdPlaceOf(waiter.pinned.pin);
  if (!place) {  // its copy was withdrawn while it was pinned
    waiter.done(MissReason::kQuarantined);
    return;
  }
  FaultAt("get.ssd");
  ++waiter.attempts;
  const TimePoint deadline = waiter.deadline - kAnswerMargin;
  const auto read = std::make_shared<InFlight>();
  read->deadline = deadline;
  {
    MutexLock lock(mutex_);
    const auto [found, is_new] = in_flight_.try_emplace(block, read);
    if (!is_new && found->second->deadline <= deadline) {
      found->second->waiters.push_back(std::move(waiter));
      collapsed_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    // A read that may end after this one's deadline is no use to it: it reads for itself.
    read->waiters.push_back(std::move(waiter));
  }
  options_.ssd.Read({place->key, place->location, deadline},
                    [this, read, block, place = *place, begun = options_.clock.Now()](
                        absl::StatusOr<SsdFrame> frame) {
                      End(read, block, place, begun, std::move(frame));
                    });
}

void SsdReads::End(std::shared_ptr<InFlight> read, BlockRef block,
                   const BlockStore::SsdPlace& place, TimePoint begun,
                   absl::StatusOr<SsdFrame> frame) {
  std::vector<Waiter> waiters;
  {
    MutexLock lock(mutex_);
    const auto found = in_flight_.find(block);
    if (found != in_flight_.end() && found->second == read) in_flight_.erase(found);
    waiters = std::move(read->waiters);
  }
  if (!frame.ok()) {
    for (Waiter& waiter : waiters) Fail(std::move(waiter), place.location, frame.status());
    return;
  }
  const int64_t took = (options_.clock.Now() - begun).count();
  const int64_t usual = usual_ns_.load(std::memory_order_relaxed);
  // Slowly up, since one late read is none; quickly down, since a fast one shows what the device can do.
  usual_ns_.store(usual + (took - usual) / (took > usual ? 16 : 2), std::memory_order_relaxed);
  const auto shared = std::make_shared<const SsdFrame>(*std::move(frame));
  for (Waiter& waiter : waiters) Deliver(std::move(waiter), shared, place.location);
}

// The tier has verified the frame; whose it is, its header says.
void SsdReads::Deliver(Waiter waiter, const std::shared_ptr<const SsdFrame>& frame,
                       const SsdLocation& location) {
  FrameHeader header;
  const auto bytes = frame->bytes();
  const bool has_header = bytes.size() >= sizeof(header);
  if (has_header) std::memcpy(&header, bytes.data(), sizeof(header));
  if (!has_header || header.magic != kFrameMagic || header.frame_bytes != bytes.size() ||
      header.space_digest != waiter.space->digest || !(HashOf(header) == waiter.hash)) {
    options_.blocks.QuarantineSsd(
        *waiter.space, waiter.hash, waiter.pinned.pin, location,
        "the frame's header does not carry the key it is indexed under");
    waiter.done(MissReason::kQuarantined);
    return;
  }
  waiter.pinned.spans = {bytes};
  waiter.pinned.staged = frame;
  if (options_.promote) options_.promote(*waiter.space, waiter.pinned, location);
  waiter.done(std::move(waiter.pinned));
}

void SsdReads::Fail(Waiter waiter, const SsdLocation& location, const absl::Status& status) {
  if (status.code() == absl::StatusCode::kDataLoss) {
    const auto message = status.message();
    options_.blocks.QuarantineSsd(*waiter.space, waiter.hash, waiter.pinned.pin, location,
                                  {message.data(), message.size()});
    waiter.done(MissReason::kQuarantined);
    return;
  }
  const bool in_time = options_.clock.Now() < waiter.deadline - kAnswerMargin;
  const bool again = status.code() == absl::StatusCode::kNotFound ||          // it moved
                     status.code() == absl::StatusCode::kDeadlineExceeded;  // another's deadline
  if (again && in_time && waiter.attempts < kAttemptsMax) {
    Start(std::move(waiter));
    return;
  }
  waiter.done(status.code() == absl::StatusCode::kDeadlineExceeded || !in_time
                  ? MissReason::kOverDeadline
                  : MissReason::kBusy);
}

}  // namespace larder::server
