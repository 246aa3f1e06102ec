#include "server/store/fetch.h"

#include <algorithm>
#include <vector>

#include "kernels/format/frame.h"

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

std::variant<PinnedFrame, MissReason> Fetch::Run(const SpaceEntry& space, const PrefixHash& hash,
                                                 const Options& options) {
  auto found = blocks_.PinFrame(space, hash, options.fidelity_min);
  if (auto* frame = std::get_if<PinnedFrame>(&found); frame != nullptr && options.verify) {
    const FrameFault fault = Verify(*frame);
    if (fault != FrameFault::kNone) {
      blocks_.Quarantine(space, hash, *frame, FrameFaultText(fault));
      found = MissReason::kQuarantined;
    }
  }
  if (const auto* frame = std::get_if<PinnedFrame>(&found)) {
    metrics_.CountGetHit(frame->residency.frame_bytes);
  } else {
    metrics_.CountGetMiss(std::get<MissReason>(found));
  }
  return found;
}

}  // namespace larder::server
