#include "server/store/fetch.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/format/frame.h"
#include "server/base/check.h"
#include "server/base/mutex.h"
#include "server/store/frame_verify.h"

namespace larder::server {
FetchSession::FetchSession(const FetchParts& parts, const SpaceEntry& space,
                           std::vector<PrefixHash> hashes, const Options& options)
    : parts_(parts), space_(space), hashes_(std::move(hashes)), options_(options) {}

FetchAnswer FetchSession::Find(const PrefixHash& hash) {
  if (parts_.draining.load(std::memory_order_relaxed)) return MissReason::kDraining;
  if (options_.deadline != TimePoint::max() &&
      options_.deadline < parts_.clock.Now() + kAnswerMargin) {
    return MissReason::kOverDeadline;
  }
  auto found = parts_.blocks.PinFrame(space_, hash, options_.fidelity_min);
  // What is on SSD or in HBM is verified by the read.
  auto* frame = std::get_if<PinnedFrame>(&found);
  if (frame != nullptr && frame->residency.in_memory() && options_.verify) {
    const FrameFault fault = VerifyFrame(frame->spans);
    if (fault != FrameFault::kNone) {
      parts_.blocks.Quarantine(space_, hash, *frame, FrameFaultText(fault));
      found = MissReason::kQuarantined;
    }
  }
  return found;
}

struct FetchSession::Ahead {
  Mutex mutex;
  std::optional<FetchAnswer> answer ABSL_GUARDED_BY(mutex);
  std::function<void(FetchAnswer)> ready ABSL_GUARDED_BY(mutex);
  uint64_t bytes = 0;

  void Answered(FetchAnswer found) {
    std::function<void(FetchAnswer)> asker;
    {
      MutexLock lock(mutex);
      if (!ready) {
        answer = std::move(found);
        return;
      }
      asker = std::move(ready);
    }
    asker(std::move(found));
  }
  void Asked(std::function<void(FetchAnswer)> asker) {
    std::optional<FetchAnswer> found;
    {
      MutexLock lock(mutex);
      if (!answer) {
        ready = std::move(asker);
        return;
      }
      found = std::move(answer);
    }
    asker(*std::move(found));
  }
};

bool FetchSession::Waits(const FetchAnswer& answer) const {
  const auto* frame = std::get_if<PinnedFrame>(&answer);
  return frame != nullptr && frame->spans.empty();
}

void FetchSession::Begin(const PrefixHash& hash, FetchAnswer found) {
  const auto ahead = std::make_shared<Ahead>();
  ahead_.push_back(ahead);
  if (!Waits(found)) return ahead->Answered(std::move(found));
  PinnedFrame& frame = std::get<PinnedFrame>(found);
  ahead->bytes = frame.residency.frame_bytes;
  ahead_bytes_ += ahead->bytes;
  // The session may be gone by then: the block's own record is not.
  const auto answered = [ahead](FetchAnswer answer) { ahead->Answered(std::move(answer)); };
  if (frame.residency.in_hbm) {
    parts_.hbm_reads->Read(space_, hash, std::move(frame), options_.deadline, answered);
  } else {
    parts_.ssd_reads->Read(space_, hash, std::move(frame), options_.deadline, answered);
  }
}

void FetchSession::ReadAhead() {
  while (ahead_.size() < kReadAheadBlocks && ahead_bytes_ < kReadAheadBytes &&
         next_ + ahead_.size() < hashes_.size()) {
    const PrefixHash& hash = hashes_[next_ + ahead_.size()];
    Begin(hash, Find(hash));
  }
}

void FetchSession::Give(const std::function<void(FetchAnswer)>& ready, FetchAnswer answer) const {
  if (const auto* frame = std::get_if<PinnedFrame>(&answer)) {
    parts_.metrics.CountGetHit(frame->residency.frame_bytes);
  } else {
    parts_.metrics.CountGetMiss(std::get<MissReason>(answer));
  }
  ready(std::move(answer));
}

void FetchSession::Next(std::function<void(FetchAnswer)> ready) {
  LARDER_CHECK(next_ < hashes_.size());
  if (ahead_.empty()) {
    FetchAnswer found = Find(hashes_[next_]);
    if (!Waits(found)) {
      ++next_;
      return Give(ready, std::move(found));
    }
    Begin(hashes_[next_], std::move(found));
  }
  ReadAhead();
  const std::shared_ptr<Ahead> ahead = ahead_.front();
  ahead_.pop_front();
  ahead_bytes_ -= ahead->bytes;
  ++next_;
  // Once it is asked, the answer may come on another thread, and the caller may let the session go.
  ahead->Asked([this, ready = std::move(ready)](FetchAnswer answer) {
    Give(ready, std::move(answer));
  });
}

}  // namespace larder::server
