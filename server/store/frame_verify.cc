#include "server/store/frame_verify.h"

#include <algorithm>
#include <vector>

namespace larder::server {

FrameFault VerifyFrame(const ByteSpans& frame) {
  std::vector<std::byte> region;
  uint32_t header_bytes = 0;
  FrameFault fault = FrameView::HeaderBytes(frame[0], &header_bytes);
  if (fault != FrameFault::kNone) return fault;
  for (const auto span : frame) {
    const size_t step = std::min(span.size(), header_bytes - region.size());
    region.insert(region.end(), span.begin(), span.begin() + step);
  }
  FrameView view;
  fault = FrameView::Parse(region, &view);
  if (fault != FrameFault::kNone) return fault;

  FrameVerifier verifier(view);
  size_t skip = header_bytes;
  for (const auto span : frame) {
    const size_t skipped = std::min(skip, span.size());
    skip -= skipped;
    fault = verifier.Update(span.subspan(skipped));
    if (fault != FrameFault::kNone) return fault;
  }
  return verifier.Finish();
}

}  // namespace larder::server
