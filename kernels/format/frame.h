// The frame: stored and shipped form of one KV block. FORMAT.md beside this file is the grammar
// with a worked example.
//
//   [FrameHeader 256 B][CodecDescriptor 64 B]*[StreamEntry 48 B]*[zero to a multiple of 64]
//       the header region, header_bytes
//   [stream 0][zero to 64][stream 1][zero to 64]...
//       the payload, layer-major
//
// Integrity is a two-level tree: every stream's XXH3-128 stands in its StreamEntry, and `root` is
// the XXH3-128 of the header region (with the root field zero). So one pass over the bytes verifies
// everything, layers can be verified as they arrive, and equal roots mean equal frames. Padding
// must be zero and is checked. XXH3 finds faults, not forgers: see FORMAT.md, Downsides.
//
// Bytes of a frame are untrusted: FrameView::Parse checks every offset, count and enum before
// anything is used. What a codec's parameters mean, and whether this build knows it, is checked by
// CheckCodecs (kernels/codec/registry.h), which a reader calls next. Little-endian. Readers refuse
// another major version, an unknown descriptor and any set reserved bit. Every type here is
// thread-compatible. No allocation grows with untrusted counts beyond kFrameHeaderBytesMax.
//
//   FrameView view;  // of a frame of which `bytes` holds all
//   if (FrameFault fault = FrameView::Parse(bytes, &view); fault != FrameFault::kNone)
//     return FrameError(fault);
//   FrameVerifier verifier(view);
//   verifier.Update(bytes.subspan(view.header().header_bytes));  // or piece by piece, as it arrives
//   if (FrameFault fault = verifier.Finish(); fault != FrameFault::kNone) return FrameError(fault);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/format/kv_layout.h"

namespace larder {

inline constexpr uint32_t kFrameMagic = 0x4652444Cu;  // "LDRF"
inline constexpr uint16_t kFrameVersionMajor = 1;
inline constexpr uint16_t kFrameVersionMinor = 0;
inline constexpr uint64_t kFrameAlignment =
    64;  // streams start on a cache line (and on any SIMD vector)
inline constexpr uint64_t kFrameHeaderBytesMax =
    256 * 1024;  // 80 layers x 2 kinds x 32 heads of StreamEntry fit
inline constexpr uint64_t kFrameBytesMax =
    (uint64_t{64} << 20) + kFrameHeaderBytesMax;  // a 64 MiB block and its header

// XXH3-128, seed 0.
struct Checksum128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const Checksum128&, const Checksum128&) = default;
};
static_assert(sizeof(Checksum128) == 16);

// Host-endian little; the header is copied in and out as bytes.
struct FrameHeader {
  uint32_t magic;
  uint16_t version_major;
  uint16_t version_minor;
  uint32_t header_bytes;  // header region, multiple of 64
  uint16_t descriptor_count;
  uint16_t flags;  // 0 in version 1
  uint32_t stream_count;
  uint32_t tokens;
  uint64_t frame_bytes;  // header region and payload with its padding
  uint64_t raw_bytes;    // of the decoded block
  uint8_t fidelity;
  uint8_t dtype;
  uint8_t axis_order;
  uint8_t group_kind;
  uint8_t prefix_hash_bytes;
  uint8_t parent_hash_bytes;  // 0: the block is the first of its chain
  uint16_t reserved0;
  uint32_t layer_begin;
  uint32_t layers;
  uint32_t kv_heads;
  uint32_t head_dim_k;
  uint32_t head_dim_v;
  uint32_t unit_bytes;
  uint64_t token_begin;  // position of the block's first token in the sequence
  std::array<uint8_t, 32> space_digest;
  std::array<uint8_t, 32> manifest_digest;
  std::array<uint8_t, 32> prefix_hash;  // unused tail zero
  std::array<uint8_t, 32> parent_hash;  // unused tail zero
  std::array<uint8_t, 16> reserved1;
  Checksum128 source_root;  // of the raw frame that this one was encoded from; zero when unknown
  Checksum128 root;
};
static_assert(sizeof(FrameHeader) == 256);

// What decodes a stream. `params` beyond params_bytes is zero.
struct CodecDescriptor {
  uint16_t codec_id;
  uint16_t params_bytes;
  uint32_t reserved;
  std::array<uint8_t, 56> params;
};
static_assert(sizeof(CodecDescriptor) == 64);

struct StreamEntry {
  uint64_t offset;  // within the frame, multiple of 64
  uint64_t bytes;   // without padding
  uint32_t layer;   // absolute layer number
  uint32_t tokens;
  uint16_t head_begin;
  uint16_t head_count;  // 1 where heads do not apply
  uint8_t kind;         // StreamKind
  uint8_t descriptor;
  uint16_t reserved;
  Checksum128 checksum;  // of the stream's bytes without padding
};
static_assert(sizeof(StreamEntry) == 48);

inline constexpr uint16_t kCodecRaw = 0;

enum class FrameFault : uint8_t {
  kNone = 0,
  kTooShort,  // fewer bytes than the frame's header says
  kTooLong,   // bytes past the frame's end
  kBadMagic,
  kBadVersion,
  kBadHeaderSize,  // header_bytes, counts and frame_bytes do not agree
  kBadShape,  // shape fields do not give raw_bytes, or an enum or the length of a hash is out of
              // range
  kBadDescriptor,   // unknown codec or parameters
  kBadStream,       // a directory entry lies outside the payload, overlaps or is out of order
  kReservedSet,     // reserved field, unused tail or padding is not zero
  kRootMismatch,    // header region damaged
  kStreamMismatch,  // stream damaged
};

// Short text for a fault: what was wrong and what was expected.
std::string_view FrameFaultText(FrameFault fault);

// Who a frame belongs to: everything that a reader compares before it trusts the bytes. A block
// always has a prefix hash (1 to 32 bytes); unused tails are zero.
struct FrameIdentity {
  std::array<uint8_t, 32> space_digest{};
  std::array<uint8_t, 32> manifest_digest{};
  std::array<uint8_t, 32> prefix_hash{};
  uint8_t prefix_hash_bytes = 0;
  std::array<uint8_t, 32> parent_hash{};
  uint8_t parent_hash_bytes = 0;
  uint64_t token_begin = 0;

  friend bool operator==(const FrameIdentity&, const FrameIdentity&) = default;
};

Checksum128 ChecksumOf(std::span<const std::byte> bytes);

// Next multiple of kFrameAlignment; `bytes` is at most 2^64 - 64.
constexpr uint64_t AlignFrame(uint64_t bytes) {
  return (bytes + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

// Bytes of the header region: 256, the tables, zero to a multiple of 64. Does not overflow for
// 32-bit counts.
constexpr uint64_t FrameHeaderRegionBytes(uint64_t descriptors, uint64_t streams) {
  return AlignFrame(sizeof(FrameHeader) + descriptors * sizeof(CodecDescriptor) +
                    streams * sizeof(StreamEntry));
}

// kNone; kBadShape for a hash of the wrong length; kReservedSet for an unused tail that is not
// zero.
FrameFault CheckIdentity(const FrameIdentity& identity);

// A parsed and verified header region. Owns copies of its parts; the input need not outlive it.
class FrameView {
 public:
  // header_region: at least the frame's first header_bytes bytes (more is ignored). Verifies the
  // root. On a fault `view` is unspecified.
  static FrameFault Parse(std::span<const std::byte> header_region, FrameView* view);

  // Size of the header region, read from the first 256 bytes after checking magic, version and
  // limits: how much to gather before Parse.
  static FrameFault HeaderBytes(std::span<const std::byte> first_bytes, uint32_t* header_bytes);

  const FrameHeader& header() const { return header_; }
  KvShape shape() const;
  FrameIdentity identity() const;
  Fidelity fidelity() const { return static_cast<Fidelity>(header_.fidelity); }
  std::span<const CodecDescriptor> descriptors() const { return descriptors_; }
  std::span<const StreamEntry> streams() const { return streams_; }  // ascending offset

 private:
  FrameHeader header_{};
  std::vector<CodecDescriptor> descriptors_;
  std::vector<StreamEntry> streams_;
};

// One stream of a frame to be built, in the order of RawStreams(shape): `bytes` without padding, and
// the index of its descriptor.
struct FrameStream {
  uint8_t descriptor = 0;
  uint64_t bytes = 0;
};

// What an encoder made of a block. `payload` is each stream followed by zero to a multiple of 64.
struct EncodedStreams {
  Fidelity fidelity = Fidelity::kExact;
  std::span<const CodecDescriptor> descriptors;
  std::span<const FrameStream> streams;
  std::span<const std::byte> payload;
  Checksum128 source_root;
};

// Builds the header region of a frame of encoded streams. Returns an empty vector when identity,
// shape, descriptors or sizes are not valid or the frame too large: what it returns, Parse accepts.
// One pass over the payload.
std::vector<std::byte> BuildFrameHeader(const FrameIdentity& identity, const KvShape& shape,
                                        const EncodedStreams& encoded);

// Builds the header region of a raw (uncompressed) frame over a block's raw bytes. `raw.size()`
// must equal RawBytes(shape). Returns an empty vector when identity, shape or raw.size() is not
// valid or the frame too large: what it returns, Parse accepts. One pass. The frame is this header
// region, then each stream of RawStreams(shape), each followed by zero to a multiple of 64.
std::vector<std::byte> BuildRawFrameHeader(const FrameIdentity& identity, const KvShape& shape,
                                           std::span<const std::byte> raw);

// Bytes of the raw frame of a shape: header region, streams, padding; 0 when the shape is not
// valid, or the header region would exceed kFrameHeaderBytesMax or the frame kFrameBytesMax.
uint64_t RawFrameBytes(const KvShape& shape);

// Verifies a frame's payload as it arrives, in order, cut anywhere: one pass, no copy. Feed
// everything after the header region.
class FrameVerifier {
 public:
  // `view` comes from a Parse that returned kNone. Keeps a copy of the directory, not a reference.
  explicit FrameVerifier(const FrameView& view);
  ~FrameVerifier();
  FrameVerifier(FrameVerifier&&) noexcept;
  FrameVerifier& operator=(FrameVerifier&&) noexcept;

  // kNone, or the first fault; after a fault every further call returns it again. A damaged stream
  // is reported at its last byte.
  FrameFault Update(std::span<const std::byte> payload);

  // kNone when every byte has been seen and matched; kTooShort when bytes are missing; otherwise
  // the fault that Update returned.
  FrameFault Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace larder
