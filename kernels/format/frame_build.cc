#include <cstring>

#include "kernels/format/frame.h"
#include "kernels/format/frame_internal.h"

namespace larder {
namespace {

FrameHeader RawHeader(const FrameIdentity& identity, const KvShape& shape) {
  FrameHeader header{};
  header.magic = kFrameMagic;
  header.version_major = kFrameVersionMajor;
  header.version_minor = kFrameVersionMinor;
  header.descriptor_count = 1;
  header.tokens = shape.tokens;
  header.fidelity = static_cast<uint8_t>(Fidelity::kExact);
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
  const uint64_t frame_bytes = RawFrameBytes(shape);
  if (frame_bytes == 0 || raw.size() != *RawBytes(shape)) return {};
  if (CheckIdentity(identity) != FrameFault::kNone) return {};

  const std::vector<RawStream> streams = RawStreams(shape);
  FrameHeader header = RawHeader(identity, shape);
  header.header_bytes = static_cast<uint32_t>(FrameHeaderRegionBytes(1, streams.size()));
  header.stream_count = static_cast<uint32_t>(streams.size());
  header.frame_bytes = frame_bytes;
  header.raw_bytes = raw.size();
  const CodecDescriptor descriptor{};  // kCodecRaw, no parameters

  std::vector<std::byte> region(header.header_bytes);
  std::byte* out = region.data() + sizeof(header);
  std::memcpy(out, &descriptor, sizeof(descriptor));
  out += sizeof(descriptor);
  uint64_t offset = header.header_bytes;
  for (const RawStream& stream : streams) {
    StreamEntry entry{};
    entry.offset = offset;
    entry.bytes = stream.bytes;
    entry.layer = stream.layer;
    entry.tokens = shape.tokens;
    entry.head_count = static_cast<uint16_t>(stream.heads);
    entry.kind = static_cast<uint8_t>(stream.kind);
    entry.checksum = ChecksumOf(raw.subspan(stream.offset, stream.bytes));
    std::memcpy(out, &entry, sizeof(entry));
    out += sizeof(entry);
    offset += AlignFrame(stream.bytes);
  }

  std::memcpy(region.data(), &header, sizeof(header));  // with a zero root, as the root is computed
  header.root = ChecksumOf(region);
  std::memcpy(region.data(), &header, sizeof(header));
  return region;
}

}  // namespace larder
