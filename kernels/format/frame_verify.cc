#include <algorithm>
#include <utility>

#include "kernels/format/frame.h"
#include "kernels/format/frame_internal.h"

namespace larder {

Checksum128 ChecksumOf(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

struct FrameVerifier::State {
  std::vector<StreamEntry> streams;
  size_t current = 0;     // stream to which the next byte, or padding byte, belongs
  uint64_t position = 0;  // of the next byte within the frame
  ChecksumStream checksum;
  FrameFault fault = FrameFault::kNone;

  // Takes what the current stream or its padding still wants from the front of `payload`; returns
  // how much that was.
  uint64_t Take(std::span<const std::byte> payload);
};

uint64_t FrameVerifier::State::Take(std::span<const std::byte> payload) {
  const StreamEntry& stream = streams[current];
  const uint64_t stream_end = stream.offset + stream.bytes;
  const uint64_t padded_end = AlignFrame(stream_end);
  const bool in_stream = position < stream_end;
  const uint64_t wanted = (in_stream ? stream_end : padded_end) - position;
  const std::span<const std::byte> taken =
      payload.first(std::min<uint64_t>(wanted, payload.size()));

  if (in_stream) {
    checksum.Update(taken);
  } else if (!AllZero(taken)) {
    fault = FrameFault::kReservedSet;
  }
  position += taken.size();
  if (in_stream && position == stream_end) {
    if (checksum.Digest() != stream.checksum) fault = FrameFault::kStreamMismatch;
    checksum.Reset();
  }
  if (position == padded_end) ++current;
  return taken.size();
}

FrameVerifier::FrameVerifier(const FrameView& view) : state_(std::make_unique<State>()) {
  state_->streams.assign(view.streams().begin(), view.streams().end());
  state_->position = view.header().header_bytes;
}

FrameVerifier::~FrameVerifier() = default;
FrameVerifier::FrameVerifier(FrameVerifier&&) noexcept = default;
FrameVerifier& FrameVerifier::operator=(FrameVerifier&&) noexcept = default;

FrameFault FrameVerifier::Update(std::span<const std::byte> payload) {
  State& state = *state_;
  while (!payload.empty() && state.fault == FrameFault::kNone) {
    if (state.current == state.streams.size()) {
      state.fault = FrameFault::kTooLong;
    } else {
      payload = payload.subspan(state.Take(payload));
    }
  }
  return state.fault;
}

FrameFault FrameVerifier::Finish() const {
  if (state_->fault != FrameFault::kNone) return state_->fault;
  return state_->current == state_->streams.size() ? FrameFault::kNone : FrameFault::kTooShort;
}

}  // namespace larder
