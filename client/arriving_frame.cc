#include "client/arriving_frame.h"

#include <algorithm>

#include "kernels/copy/block_copy.h"

namespace larder {
namespace {

// Copied and verified in steps that stay in the first-level cache between the two.
constexpr size_t kCachedBytes = 16 << 10;

}  // namespace

void ArrivingFrame::TakeIn(std::span<const std::byte> bytes, uint64_t frame_bytes) {
  if (!work_.blocks[index_].destination.empty()) {  // needs no place in the window
    Verify(frame_bytes, bytes, nullptr);
    return;
  }
  if (frame_bytes > place_.size() || bytes.size() > frame_bytes - std::min(fed_, frame_bytes))
    return;
  while (!bytes.empty()) {
    const auto step = bytes.first(std::min(bytes.size(), kCachedBytes));
    const std::span<std::byte> to = place_.subspan(fed_, step.size());
    StreamBlock(to.data(), step.data(), step.size());
    Verify(frame_bytes, step, to.data());
    bytes = bytes.subspan(step.size());
  }
}

void ArrivingFrame::Feed(uint64_t frame_bytes, uint64_t available) {
  if (frame_bytes > place_.size() || available <= fed_) return;
  const auto bytes = place_.subspan(fed_, available - fed_);
  Verify(frame_bytes, bytes, bytes.data());
}

void ArrivingFrame::Verify(uint64_t frame_bytes, std::span<const std::byte> bytes,
                           const std::byte* stand) {
  if (!receiver_) {
    frame_bytes_ = frame_bytes;
    expected_ = ExpectedOf(work_, index_);
    const auto destination = work_.blocks[index_].destination;
    receiver_.emplace(expected_, frame_bytes, destination, coders_,
                      FrameReceiver::Options{.contiguous = stand != nullptr,
                                             .view = destination.empty(),
                                             .encoded = GoesToDevice(work_, index_)});
    teller_.emplace(work_.options);
  }
  if (frame_bytes_ != frame_bytes) return;
  receiver_->Write(bytes, stand != nullptr ? stand : bytes.data());
  fed_ += bytes.size();
  if (!GoesToDevice(work_, index_)) {
    teller_->Tell(index_, receiver_->layers_ready());
  } else if (whole() && receiver_->Finish()) {
    work_.device->Start(index_, *receiver_, coders_, window_);
  }
}

FrameReceiver* ArrivingFrame::Finish() {
  return whole() && receiver_->Finish() ? &*receiver_ : nullptr;
}

}  // namespace larder
