// Takes one frame as it arrives, cut anywhere; checks that it is the block that was asked for;
// verifies every checksum; and writes the raw block straight into the caller's memory: raw streams
// with one copy, encoded ones decoded as soon as the last byte of the stream is verified. No frame is
// ever held whole.
#pragma once

#include <cstddef>
#include <cstdint>
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
  FrameReceiver(const ExpectedFrame& expected, uint64_t frame_bytes,
                std::span<std::byte> destination, CoderPool& coders)
      : expected_(expected),
        frame_bytes_(frame_bytes),
        destination_(destination),
        coders_(coders) {}

  // False after the first fault; the rest may still be fed and is ignored.
  bool Write(std::span<const std::byte> piece);
  // True when the whole frame has arrived and every byte of it was right.
  bool Finish() const;

  uint64_t raw_bytes() const { return frame_.header().raw_bytes; }
  uint32_t tokens() const { return frame_.header().tokens; }
  Fidelity fidelity() const { return frame_.fidelity(); }
  std::vector<std::byte>& header_region() { return header_region_; }

 private:
  size_t GatherHeader(std::span<const std::byte> piece);
  bool AcceptHeader();
  bool WritePayload(std::span<const std::byte> piece);
  // Where the bytes of the current stream from `within` on land, at least `step` of them.
  std::span<std::byte> Landing(const StreamEntry& stream, uint64_t within, size_t step);
  bool EndStream(const StreamEntry& stream);

  const ExpectedFrame& expected_;
  const uint64_t frame_bytes_;
  const std::span<std::byte> destination_;
  std::vector<std::byte> header_region_;
  uint32_t header_bytes_ = 0;  // 0: not known yet
  FrameView frame_;
  std::optional<FrameVerifier> verifier_;
  CoderPool& coders_;
  std::vector<RawStream> raw_streams_;  // where streams stand in the destination
  std::vector<std::byte> encoded_;      // the current stream, when it is encoded
  uint64_t offset_ = 0;                 // within the frame, of the next payload byte
  size_t stream_ = 0;                   // that it belongs to, or whose padding it is
  bool faulty_ = false;
};

}  // namespace larder
