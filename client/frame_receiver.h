// Takes one frame as it arrives, cut anywhere; checks that it is the block that was asked for;
// verifies every checksum; and writes the raw block straight into the caller's memory: raw streams
// with one copy (large ones from a window with two, of which one stays in a cache), encoded ones
// decoded as soon as the last byte of the stream is verified. No frame is ever held whole, and one
// that arrives in memory that stays (a window) is decoded from there, or, with `view`, not copied at
// all. With `encoded` nothing is decoded: who asked will do it, on a device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/codec/coder_pool.h"
#include "kernels/format/frame.h"
#include "proto/contract/block_key.h"

namespace larder {

// What the frame must be.
struct ExpectedFrame {
  Digest space_digest{};
  Digest manifest_digest{};
  PrefixHash hash;
  KvShape shape;  // of a full block; a frame may hold fewer tokens
};

// Confined to the call that uses it. `expected`, `coders` and `destination` must outlive it.
class FrameReceiver {
 public:
  struct Options {
    // The pieces stand one behind the other in memory that stays, unchanged, as long as this and the view.
    bool contiguous = false;
    // There is no destination: the raw block is left where it is, or put into memory of its own.
    bool view = false;
    // With `view`: not the raw block but the payload as it is stored.
    bool encoded = false;
  };
  FrameReceiver(const ExpectedFrame& expected, uint64_t frame_bytes,
                std::span<std::byte> destination, CoderPool& coders, const Options& options)
      : expected_(expected),
        frame_bytes_(frame_bytes),
        options_(options),
        destination_(destination),
        coders_(coders) {}
  FrameReceiver(const ExpectedFrame& expected, uint64_t frame_bytes,
                std::span<std::byte> destination, CoderPool& coders)
      : FrameReceiver(expected, frame_bytes, destination, coders, Options{}) {}

  // False after the first fault; the rest may still be fed and is ignored. `stands`: with Options::contiguous, where the
  // same bytes stand.
  bool Write(std::span<const std::byte> piece, const std::byte* stands);
  bool Write(std::span<const std::byte> piece) { return Write(piece, piece.data()); }
  // True when the whole frame has arrived and every byte of it was right.
  bool Finish() const;

  uint64_t raw_bytes() const { return frame_.header().raw_bytes; }
  uint32_t tokens() const { return frame_.header().tokens; }
  Fidelity fidelity() const { return frame_.fidelity(); }
  std::vector<std::byte>& header_region() { return header_region_; }
  const FrameView& frame() const { return frame_; }
  // Layers, from the first on, whose raw bytes stand verified where they belong.
  uint32_t layers_ready() const;
  // With Options::view, once finished: the raw block or the payload, and its memory unless it stands in the pieces.
  std::span<const std::byte> view() const { return {view_, view_ == nullptr ? 0 : view_bytes()}; }
  const std::shared_ptr<std::byte[]>& view_memory() const { return own_; }

 private:
  // A step of what comes from a window. Small: the CPU fetches the next one while this one is verified.
  static constexpr size_t kWindowStepBytes = 4 * 1024;
  using Bounce = std::array<std::byte, kWindowStepBytes>;
  size_t GatherHeader(std::span<const std::byte> piece);
  bool AcceptHeader();
  void PlaceView();
  uint64_t view_bytes() const {
    return options_.encoded ? frame_bytes_ - frame_.header().header_bytes : raw_bytes();
  }
  bool WritePayload(std::span<const std::byte> piece, const std::byte* stands);
  bool IsRawStream(const StreamEntry& stream) const {
    return frame_.descriptors()[stream.descriptor].codec_id == kCodecRaw;
  }
  // Puts bytes of the current stream where they will be read, and returns those to verify. Where others reach the piece as
  // well and it is copied, these are the copy, or what `bounce` keeps of it; else the piece.
  std::span<const std::byte> Land(const StreamEntry& stream, uint64_t within,
                                  std::span<const std::byte> piece, const std::byte* stands,
                                  Bounce& bounce);
  bool EndStream(const StreamEntry& stream);

  const ExpectedFrame& expected_;
  const uint64_t frame_bytes_;
  const Options options_;
  std::span<std::byte> destination_;
  std::vector<std::byte> header_region_;
  uint32_t header_bytes_ = 0;  // 0: not known yet
  FrameView frame_;
  std::optional<FrameVerifier> verifier_;
  CoderPool& coders_;
  std::vector<RawStream> raw_streams_;  // where streams stand in the destination
  std::vector<std::byte> encoded_;      // the current stream, when it is encoded and will not stay
  const std::byte* stream_begin_ = nullptr;  // the current stream in contiguous pieces
  bool in_place_ = false;                    // what the view shows is not copied
  std::shared_ptr<std::byte[]> own_;         // the view's memory
  const std::byte* view_ = nullptr;
  uint64_t offset_ = 0;  // within the frame, of the next payload byte
  size_t stream_ = 0;    // that it belongs to, or whose padding it is
  bool faulty_ = false;
};

}  // namespace larder
