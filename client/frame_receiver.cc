#include "client/frame_receiver.h"

#include <algorithm>
#include <cstring>

namespace larder {
namespace {

// Copied and verified in steps that stay in the first-level cache between the two.
constexpr size_t kStepBytes = 32 * 1024;

}  // namespace

bool FrameReceiver::Write(std::span<const std::byte> piece) {
  if (faulty_) return false;
  if (!verifier_) piece = piece.subspan(GatherHeader(piece));
  if (!faulty_ && !piece.empty() && !WritePayload(piece)) faulty_ = true;
  return !faulty_;
}

bool FrameReceiver::Finish() const {
  return !faulty_ && verifier_ && verifier_->Finish() == FrameFault::kNone;
}

size_t FrameReceiver::GatherHeader(std::span<const std::byte> piece) {
  size_t taken = 0;
  const auto take_up_to = [&](size_t size) {
    const size_t step = std::min(size - header_region_.size(), piece.size() - taken);
    header_region_.insert(header_region_.end(), piece.begin() + taken,
                          piece.begin() + taken + step);
    taken += step;
  };
  if (header_bytes_ == 0) {
    take_up_to(sizeof(FrameHeader));
    if (header_region_.size() < sizeof(FrameHeader)) return taken;
    if (FrameView::HeaderBytes(header_region_, &header_bytes_) != FrameFault::kNone) {
      faulty_ = true;
      return taken;
    }
  }
  take_up_to(header_bytes_);
  if (header_region_.size() == header_bytes_) faulty_ = !AcceptHeader();
  return taken;
}

bool FrameReceiver::AcceptHeader() {
  if (FrameView::Parse(header_region_, &frame_) != FrameFault::kNone) return false;
  const FrameHeader& header = frame_.header();
  KvShape full = frame_.shape();
  full.tokens = expected_.shape.tokens;
  const PrefixHash hash{header.prefix_hash_bytes, header.prefix_hash};
  if (header.frame_bytes != frame_bytes_ || header.space_digest != expected_.space_digest ||
      header.manifest_digest != expected_.manifest_digest || !(hash == expected_.hash) ||
      !(full == expected_.shape) || header.tokens > expected_.shape.tokens ||
      header.raw_bytes > destination_.size()) {
    return false;
  }
  verifier_.emplace(frame_);
  offset_ = header.header_bytes;
  return true;
}

bool FrameReceiver::WritePayload(std::span<const std::byte> piece) {
  const auto streams = frame_.streams();
  while (!piece.empty()) {
    if (stream_ == streams.size()) return false;  // bytes past the last stream
    const StreamEntry& stream = streams[stream_];
    const uint64_t within = offset_ - stream.offset;
    const uint64_t end = stream_ + 1 < streams.size() ? streams[stream_ + 1].offset : frame_bytes_;
    size_t step = std::min<uint64_t>(piece.size(), kStepBytes);
    std::span<const std::byte> checked = piece;
    if (within < stream.bytes) {
      step = std::min<uint64_t>(step, stream.bytes - within);
      const auto target = destination_.subspan(raw_offset_ + within, step);
      std::memcpy(target.data(), piece.data(), step);
      checked = target;  // what is verified is what the caller will read
    } else {
      step = std::min<uint64_t>(step, end - offset_);
    }
    if (verifier_->Update(checked.first(step)) != FrameFault::kNone) return false;
    piece = piece.subspan(step);
    offset_ += step;
    if (offset_ == end) {
      raw_offset_ += stream.bytes;
      ++stream_;
    }
  }
  return true;
}

}  // namespace larder
