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
  const std::vector<std::byte> frame = coder_.EncodeLike(arrived, raw_).frame;
  if (frame.size() != arrived.header().frame_bytes ||
      !std::equal(result.frame_header.begin(), result.frame_header.end(), frame.begin())) {
    return false;
  }
  return DecodeFrame(coder_, arrived, frame, raw_) && std::ranges::equal(raw_, fetched);
}

}  // namespace larder::cli
