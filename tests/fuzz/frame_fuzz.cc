// Frames are untrusted input. Two ways in: the input itself as a frame, and the input as a script
// that patches a valid frame, so that the checks behind magic, sizes and root are reached. Whatever
// Parse accepts is judged by the oracles of sample_frame.h.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

#include "kernels/format/frame.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder {
namespace {

using testing::Bytes;

void Require(bool condition) {
  if (!condition) __builtin_trap();
}

// Parses, verifies in pieces, and compares the verdict with the naive one.
void Judge(const Bytes& frame, size_t piece_bytes) {
  FrameView view;
  if (FrameView::Parse(frame, &view) != FrameFault::kNone) return;
  FrameVerifier verifier(view);
  auto payload = std::span<const std::byte>(frame).subspan(view.header().header_bytes);
  while (!payload.empty()) {
    const auto piece = payload.first(std::min(piece_bytes, payload.size()));
    static_cast<void>(verifier.Update(piece));
    payload = payload.subspan(piece.size());
  }
  const FrameFault verdict = verifier.Finish();
  Require(verdict == testing::VerifyNaively(view, frame));
  if (verdict == FrameFault::kNone) Require(testing::RebuildsItself(view, frame));
}

Bytes PatchedFrame(FuzzedDataProvider& script) {
  std::mt19937_64 random(script.ConsumeIntegral<uint16_t>());
  Bytes frame = testing::RandomFrame(random);
  const bool reroot = script.ConsumeBool();
  if (script.ConsumeBool()) {
    frame.resize(script.ConsumeIntegralInRange<size_t>(0, frame.size() + 64));
  }
  while (script.remaining_bytes() > 0 && !frame.empty()) {
    const size_t at = script.ConsumeIntegralInRange<size_t>(0, frame.size() - 1);
    frame[at] = static_cast<std::byte>(script.ConsumeIntegral<uint8_t>());
  }
  if (reroot) testing::Reroot(&frame);
  return Bytes(frame);  // a copy without spare capacity, so that ASan sees a read past the end
}

}  // namespace
}  // namespace larder

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  larder::testing::Bytes frame(input.begin(), input.end());
  larder::Judge(frame, 64);
  larder::testing::Reroot(&frame);
  larder::Judge(frame, 64);

  FuzzedDataProvider script(data, size);
  const size_t piece_bytes = script.ConsumeIntegralInRange<size_t>(1, 256);
  larder::Judge(larder::PatchedFrame(script), piece_bytes);
  return 0;
}
