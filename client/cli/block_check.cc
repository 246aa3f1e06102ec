#include "client/cli/block_check.h"

#include <algorithm>

namespace larder::cli {

bool BlockCheck::IsRight(uint64_t block_id, uint64_t token_begin, const GetResult& result,
                         std::span<const std::byte> fetched) {
  if (result.raw_bytes != kv_.block_bytes() || fetched.size() != result.raw_bytes) return false;
  if (result.fidelity == Fidelity::kExact) return kv_.Verify(block_id, token_begin, fetched);
  raw_.resize(kv_.block_bytes());
  kv_.Fill(block_id, token_begin, raw_);
  FrameView arrived;
  if (FrameView::Parse(result.frame_header, &arrived) != FrameFault::kNone) return false;
  if (IsMadeFromRaw(arrived, result, fetched)) return true;
  return via_ && GoThroughVia(arrived) && IsMadeFromRaw(arrived, result, fetched);
}

bool BlockCheck::IsMadeFromRaw(const FrameView& frame, const GetResult& result,
                               std::span<const std::byte> fetched) {
  const std::vector<std::byte> made = coder_.EncodeLike(frame, raw_).frame;
  if (made.size() != frame.header().frame_bytes ||
      !std::equal(result.frame_header.begin(), result.frame_header.end(), made.begin())) {
    return false;
  }
  decoded_.resize(raw_.size());
  return DecodeFrame(coder_, frame, made, decoded_) && std::ranges::equal(decoded_, fetched);
}

bool BlockCheck::GoThroughVia(const FrameView& frame) {
  const std::vector<std::byte> first =
      coder_.Encode(*via_, frame.identity(), frame.shape(), raw_).frame;
  FrameView view;
  return FrameView::Parse(first, &view) == FrameFault::kNone &&
         DecodeFrame(coder_, view, first, raw_);
}

}  // namespace larder::cli
