// Random frames and the slow, obvious oracles that frame tests and the frame fuzzer compare
// against.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "kernels/format/frame.h"

namespace larder::testing {

using Bytes = std::vector<std::byte>;

inline uint64_t RandomUpTo(std::mt19937_64& random, uint64_t max) {
  return std::uniform_int_distribution<uint64_t>(0, max)(random);
}

inline Bytes RandomBytes(std::mt19937_64& random, size_t size) {
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A valid shape of a few kilobytes at most.
inline KvShape RandomShape(std::mt19937_64& random) {
  const auto from_one = [&random](uint64_t max) {
    return static_cast<uint32_t>(1 + RandomUpTo(random, max - 1));
  };
  KvShape shape;
  shape.kind = static_cast<GroupKind>(from_one(4));
  shape.dtype = static_cast<Dtype>(from_one(7));
  shape.axis_order = static_cast<AxisOrder>(from_one(2));
  shape.layer_begin = static_cast<uint32_t>(RandomUpTo(random, 100));
  shape.layers = from_one(4);
  shape.kv_heads = from_one(3);
  shape.head_dim_k = from_one(16);
  shape.head_dim_v = from_one(16);
  shape.unit_bytes = from_one(200);
  shape.tokens = from_one(8);
  return shape;
}

inline FrameIdentity RandomIdentity(std::mt19937_64& random) {
  FrameIdentity identity;
  const auto fill = [&random](std::array<uint8_t, 32>* out, size_t size) {
    std::generate_n(out->begin(), size, [&random] { return static_cast<uint8_t>(random()); });
  };
  identity.prefix_hash_bytes = static_cast<uint8_t>(1 + RandomUpTo(random, 31));
  identity.parent_hash_bytes = static_cast<uint8_t>(RandomUpTo(random, 32));
  identity.token_begin = RandomUpTo(random, 1 << 20);
  fill(&identity.space_digest, 32);
  fill(&identity.manifest_digest, 32);
  fill(&identity.prefix_hash, identity.prefix_hash_bytes);
  fill(&identity.parent_hash, identity.parent_hash_bytes);
  return identity;
}

// A whole raw frame; empty when BuildRawFrameHeader refuses.
inline Bytes MakeFrame(const FrameIdentity& identity, const KvShape& shape, const Bytes& raw) {
  Bytes frame = BuildRawFrameHeader(identity, shape, raw);
  if (frame.empty()) return frame;
  for (const RawStream& stream : RawStreams(shape)) {
    const auto begin = raw.begin() + static_cast<ptrdiff_t>(stream.offset);
    frame.insert(frame.end(), begin, begin + static_cast<ptrdiff_t>(stream.bytes));
    frame.resize(AlignFrame(frame.size()));
  }
  return frame;
}

inline Bytes RandomFrame(std::mt19937_64& random) {
  const KvShape shape = RandomShape(random);
  return MakeFrame(RandomIdentity(random), shape, RandomBytes(random, RawBytes(shape).value()));
}

// A frame of 576 bytes: 448 of header region and two streams.
inline Bytes SmallFrame() {
  std::mt19937_64 random(7);
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = Dtype::kBf16;
  shape.axis_order = AxisOrder::kNhd;
  shape.layers = 1;
  shape.kv_heads = 1;
  shape.head_dim_k = 5;
  shape.head_dim_v = 4;
  shape.tokens = 3;
  FrameIdentity identity = RandomIdentity(random);
  identity.prefix_hash_bytes = 32;
  identity.prefix_hash.fill(0x5A);
  return MakeFrame(identity, shape, RandomBytes(random, RawBytes(shape).value()));
}

// Table access for patching a frame in place.
template <typename Row>
Row Load(const Bytes& frame, size_t offset) {
  Row row;
  std::memcpy(&row, frame.data() + offset, sizeof(row));
  return row;
}
template <typename Row>
void Store(const Row& row, size_t offset, Bytes* frame) {
  std::memcpy(frame->data() + offset, &row, sizeof(row));
}
inline constexpr size_t kDescriptorOffset = sizeof(FrameHeader);
inline constexpr size_t kStreamOffset = sizeof(FrameHeader) + sizeof(CodecDescriptor);

// Makes the root agree with a header region that was patched, so that the checks behind the root
// are reached.
inline void Reroot(Bytes* frame) {
  if (frame->size() < sizeof(FrameHeader)) return;
  FrameHeader header = Load<FrameHeader>(*frame, 0);
  if (header.header_bytes > frame->size() || header.header_bytes < sizeof(header)) return;
  header.root = {};
  Store(header, 0, frame);
  header.root = ChecksumOf(std::span<const std::byte>(*frame).first(header.header_bytes));
  Store(header, 0, frame);
}

inline FrameFault ParseAndVerify(std::span<const std::byte> frame) {
  FrameView view;
  const FrameFault fault = FrameView::Parse(frame, &view);
  if (fault != FrameFault::kNone) return fault;
  FrameVerifier verifier(view);
  static_cast<void>(verifier.Update(frame.subspan(view.header().header_bytes)));
  return verifier.Finish();
}

// What FrameVerifier must say about a payload whose view parsed, by looking at one stream after the
// other.
inline FrameFault VerifyNaively(const FrameView& view, std::span<const std::byte> frame) {
  for (const StreamEntry& stream : view.streams()) {
    const uint64_t end = stream.offset + stream.bytes;
    if (frame.size() < end) return FrameFault::kTooShort;
    if (ChecksumOf(frame.subspan(stream.offset, stream.bytes)) != stream.checksum) {
      return FrameFault::kStreamMismatch;
    }
    for (uint64_t at = end; at < AlignFrame(end); ++at) {
      if (at == frame.size()) return FrameFault::kTooShort;
      if (frame[at] != std::byte{0}) return FrameFault::kReservedSet;
    }
  }
  return frame.size() > view.header().frame_bytes ? FrameFault::kTooLong : FrameFault::kNone;
}

// The format leaves no freedom: an accepted frame is the one that its own identity, shape and raw
// bytes build. Excepted are the fields that a writer chooses: fidelity, minor version, and repeated
// descriptors.
inline bool RebuildsItself(const FrameView& view, std::span<const std::byte> frame) {
  std::vector<FrameStream> streams;
  for (const StreamEntry& stream : view.streams()) {
    streams.push_back({stream.descriptor, stream.bytes});
  }
  const auto payload = frame.subspan(view.header().header_bytes);
  Bytes rebuilt = BuildFrameHeader(
      view.identity(), view.shape(),
      {view.fidelity(), view.descriptors(), streams, payload, view.header().source_root});
  if (rebuilt.empty()) return false;
  FrameHeader header = Load<FrameHeader>(rebuilt, 0);
  header.version_minor = view.header().version_minor;
  Store(header, 0, &rebuilt);
  rebuilt.insert(rebuilt.end(), payload.begin(), payload.end());
  Reroot(&rebuilt);
  return std::equal(rebuilt.begin(), rebuilt.end(), frame.begin(), frame.end());
}

}  // namespace larder::testing
