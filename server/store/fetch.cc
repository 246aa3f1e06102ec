#include "server/store/fetch.h"

#include <algorithm>
#include <utility>

#include "kernels/format/frame.h"
#include "server/base/check.h"

namespace larder::server {
namespace {

FrameFault Verify(const PinnedFrame& frame) {
  std::vector<std::byte> region;
  uint32_t header_bytes = 0;
  FrameFault fault = FrameView::HeaderBytes(frame.spans[0], &header_bytes);
  if (fault != FrameFault::kNone) return fault;
  for (const auto span : frame.spans) {
    const size_t step = std::min(span.size(), header_bytes - region.size());
    region.insert(region.end(), span.begin(), span.begin() + step);
  }
  FrameView view;
  fault = FrameView::Parse(region, &view);
  if (fault != FrameFault::kNone) return fault;

  FrameVerifier verifier(view);
  size_t skip = header_bytes;
  for (const auto span : frame.spans) {
    const size_t skipped = std::min(skip, span.size());
    skip -= skipped;
    fault = verifier.Update(span.subspan(skipped));
    if (fault != FrameFault::kNone) return fault;
  }
  return verifier.Finish();
}

}  // namespace

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
  if (auto* frame = std::get_if<PinnedFrame>(&found); frame != nullptr && options_.verify) {
    const FrameFault fault = Verify(*frame);
    if (fault != FrameFault::kNone) {
      parts_.blocks.Quarantine(space_, hash, *frame, FrameFaultText(fault));
      found = MissReason::kQuarantined;
    }
  }
  return found;
}

void FetchSession::Next(std::function<void(FetchAnswer)> ready) {
  LARDER_CHECK(next_ < hashes_.size());
  FetchAnswer answer = Find(hashes_[next_++]);
  if (const auto* frame = std::get_if<PinnedFrame>(&answer)) {
    parts_.metrics.CountGetHit(frame->residency.frame_bytes);
  } else {
    parts_.metrics.CountGetMiss(std::get<MissReason>(answer));
  }
  ready(std::move(answer));
}

}  // namespace larder::server
