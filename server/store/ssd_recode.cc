#include "server/store/ssd_recode.h"

#include <chrono>

#include "kernels/codec/registry.h"
#include "kernels/format/frame.h"
#include "server/base/fault_point.h"
#include "server/store/block_store.h"
#include "server/store/frame_key.h"

namespace larder::server {
namespace {

// A second loss for nothing is refused: between lossy plans only a step down is worth it.
bool IsWorthIt(const BlockRecipe& recipe, const FrameView& frame) {
  const Fidelity then = FidelityOf(recipe.plan);
  const bool down = then < frame.fidelity() || (then == Fidelity::kExact && IsRaw(frame));
  const FrameHeader& header = frame.header();
  return down && BlockCoder::WouldCode(recipe, frame.shape(), header.tokens, header.token_begin);
}

}  // namespace

std::optional<std::vector<std::byte>> SsdRecoder::Recode(const BlockRecipe& recipe,
                                                         const ByteSpans& frame) {
  FaultAt("migrate.recode");
  const auto begin = std::chrono::steady_clock::now();
  MutexLock lock(mutex_);
  gathered_.resize(BytesOf(frame));
  CopyOut(frame, gathered_);
  FrameView view;
  if (FrameView::Parse(gathered_, &view) != FrameFault::kNone ||
      CheckCodecs(view) != FrameFault::kNone || !IsWorthIt(recipe, view)) {
    return std::nullopt;
  }
  FrameVerifier verifier(view);
  verifier.Update(std::span(gathered_).subspan(view.header().header_bytes));
  if (verifier.Finish() != FrameFault::kNone) return std::nullopt;
  raw_.resize(view.header().raw_bytes);
  if (!DecodeFrame(coder_, view, gathered_, raw_)) return std::nullopt;
  const EncodedParts encoded = coder_.EncodeParts(recipe, view.identity(), view.shape(), raw_,
                                                  OriginOf(view.header(), IsRaw(view)));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const size_t bytes = encoded.header.size() + encoded.payload.size();
  if (encoded.header.empty() || encoded.coded_streams == 0 || bytes >= gathered_.size()) {
    return std::nullopt;
  }
  metrics_.CountEncode(encoded.coded_streams, encoded.fallback_streams, seconds.count());
  std::vector<std::byte> result(encoded.header);
  result.insert(result.end(), encoded.payload.begin(), encoded.payload.end());
  return result;
}

}  // namespace larder::server
