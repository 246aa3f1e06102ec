#include <cstring>

#include "kernels/format/frame.h"
#include "kernels/format/frame_internal.h"

namespace larder {
namespace {

FrameHeader HeaderOf(const FrameIdentity& identity, const KvShape& shape, Fidelity fidelity) {
  FrameHeader header{};
  header.magic = kFrameMagic;
  header.version_major = kFrameVersionMajor;
  header.version_minor = kFrameVersionMinor;
  header.tokens = shape.tokens;
  header.fidelity = static_cast<uint8_t>(fidelity);
  header.dtype = static_cast<uint8_t>(shape.dtype);
  header.axis_order = static_cast<uint8_t>(shape.axis_order);
  header.group_kind = static_cast<uint8_t>(shape.kind);
  header.prefix_hash_bytes = identity.prefix_hash_bytes;
  header.parent_hash_bytes = identity.parent_hash_bytes;
  header.layer_begin = shape.layer_begin;
  header.layers = shape.layers;
  header.kv_heads = shape.kv_heads;
  header.head_dim_k = shape.head_dim_k;
  header.head_dim_v = shape.head_dim_v;
  header.unit_bytes = shape.unit_bytes;
  header.token_begin = identity.token_begin;
  header.space_digest = identity.space_digest;
  header.manifest_digest = identity.manifest_digest;
  header.prefix_hash = identity.prefix_hash;
  header.parent_hash = identity.parent_hash;
  return header;
}

struct FramePiece {
  uint8_t descriptor = 0;
  std::span<const std::byte> bytes;  // without padding
};

// Empty when what it would build, Parse would refuse.
std::vector<std::byte> BuildHeader(FrameHeader header, const KvShape& shape,
                                   std::span<const CodecDescriptor> descriptors,
                                   std::span<const RawStream> raw_streams,
                                   std::span<const FramePiece> pieces) {
  const uint64_t header_bytes = FrameHeaderRegionBytes(descriptors.size(), pieces.size());
  uint64_t frame_bytes = header_bytes;
  for (const FramePiece& piece : pieces) frame_bytes += AlignFrame(piece.bytes.size());
  if (header_bytes > kFrameHeaderBytesMax || frame_bytes > kFrameBytesMax) return {};
  header.descriptor_count = static_cast<uint16_t>(descriptors.size());
  header.header_bytes = static_cast<uint32_t>(header_bytes);
  header.stream_count = static_cast<uint32_t>(pieces.size());
  header.frame_bytes = frame_bytes;
  header.raw_bytes = *RawBytes(shape);

  std::vector<std::byte> region(header.header_bytes);
  std::byte* out = region.data() + sizeof(header);
  std::memcpy(out, descriptors.data(), descriptors.size_bytes());
  out += descriptors.size_bytes();
  uint64_t offset = header.header_bytes;
  for (size_t i = 0; i < pieces.size(); ++i) {
    StreamEntry entry{};
    entry.offset = offset;
    entry.bytes = pieces[i].bytes.size();
    entry.layer = raw_streams[i].layer;
    entry.tokens = shape.tokens;
    entry.head_count = static_cast<uint16_t>(raw_streams[i].heads);
    entry.kind = static_cast<uint8_t>(raw_streams[i].kind);
    entry.descriptor = pieces[i].descriptor;
    entry.checksum = ChecksumOf(pieces[i].bytes);
    std::memcpy(out, &entry, sizeof(entry));
    out += sizeof(entry);
    offset += AlignFrame(entry.bytes);
  }

  std::memcpy(region.data(), &header, sizeof(header));  // with a zero root, as the root is computed
  header.root = ChecksumOf(region);
  std::memcpy(region.data(), &header, sizeof(header));
  FrameView view;
  if (FrameView::Parse(region, &view) != FrameFault::kNone) return {};
  return region;
}

}  // namespace

uint64_t RawFrameBytes(const KvShape& shape) {
  const std::optional<uint64_t> raw_bytes = RawBytes(shape);
  if (!raw_bytes || *raw_bytes > kFrameBytesMax) return 0;
  // From here on nothing overflows: every stream is at most kFrameBytesMax and there are at most 2
  // x kShapeLayersMax.
  const std::vector<StreamKind> kinds = StreamsOfLayer(shape.kind);
  const uint64_t header_bytes = FrameHeaderRegionBytes(1, uint64_t{shape.layers} * kinds.size());
  if (header_bytes > kFrameHeaderBytesMax) return 0;
  uint64_t layer_bytes = 0;
  for (StreamKind kind : kinds) layer_bytes += AlignFrame(*RawStreamBytes(shape, kind));
  const uint64_t frame_bytes = header_bytes + shape.layers * layer_bytes;
  return frame_bytes <= kFrameBytesMax ? frame_bytes : 0;
}

std::vector<std::byte> BuildRawFrameHeader(const FrameIdentity& identity, const KvShape& shape,
                                           std::span<const std::byte> raw) {
  if (RawFrameBytes(shape) == 0 || raw.size() != *RawBytes(shape)) return {};
  const CodecDescriptor descriptor{};  // kCodecRaw, no parameters
  const std::vector<RawStream> raw_streams = RawStreams(shape);
  std::vector<FramePiece> pieces;
  pieces.reserve(raw_streams.size());
  for (const RawStream& stream : raw_streams) {
    pieces.push_back({0, raw.subspan(stream.offset, stream.bytes)});
  }
  return BuildHeader(HeaderOf(identity, shape, Fidelity::kExact), shape, {&descriptor, 1},
                     raw_streams, pieces);
}

std::vector<std::byte> BuildFrameHeader(const FrameIdentity& identity, const KvShape& shape,
                                        const EncodedStreams& encoded) {
  if (!RawBytes(shape)) return {};
  const std::vector<RawStream> raw_streams = RawStreams(shape);
  if (encoded.streams.size() != raw_streams.size()) return {};
  std::span<const std::byte> rest = encoded.payload;
  std::vector<FramePiece> pieces;
  pieces.reserve(raw_streams.size());
  for (const FrameStream& stream : encoded.streams) {
    if (stream.bytes > rest.size() || AlignFrame(stream.bytes) > rest.size()) return {};
    pieces.push_back({stream.descriptor, rest.first(stream.bytes)});
    rest = rest.subspan(AlignFrame(stream.bytes));
  }
  if (!rest.empty()) return {};
  FrameHeader header = HeaderOf(identity, shape, encoded.fidelity);
  header.source_root = encoded.source_root;
  return BuildHeader(header, shape, encoded.descriptors, raw_streams, pieces);
}

}  // namespace larder
