#include <cstring>

#include "kernels/format/frame.h"
#include "kernels/format/frame_internal.h"

namespace larder {
namespace {

FrameHeader LoadHeader(std::span<const std::byte> bytes) {
  FrameHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

// Copies `count` table rows from the front of `*bytes` and moves `*bytes` behind them. The caller
// has checked that they are there.
template <typename Row>
std::vector<Row> LoadTable(size_t count, std::span<const std::byte>* bytes) {
  std::vector<Row> rows(count);
  std::memcpy(rows.data(), bytes->data(), count * sizeof(Row));
  *bytes = bytes->subspan(count * sizeof(Row));
  return rows;
}

Checksum128 RootOf(FrameHeader header, std::span<const std::byte> tables) {
  header.root = {};
  ChecksumStream checksum;
  checksum.Update(std::as_bytes(std::span(&header, 1)));
  checksum.Update(tables);
  return checksum.Digest();
}

FrameFault CheckHash(const std::array<uint8_t, 32>& hash, uint8_t bytes) {
  if (bytes > hash.size()) return FrameFault::kBadShape;
  const bool tail_is_zero = AllZero(std::span<const uint8_t>(hash).subspan(bytes));
  return tail_is_zero ? FrameFault::kNone : FrameFault::kReservedSet;
}

FrameFault CheckReserved(const FrameHeader& header, std::span<const std::byte> padding) {
  const bool is_zero = header.flags == 0 && header.reserved0 == 0 &&
                       AllZero(std::span<const uint8_t>(header.reserved1)) && AllZero(padding);
  return is_zero ? FrameFault::kNone : FrameFault::kReservedSet;
}

FrameFault CheckShape(const FrameHeader& header, const KvShape& shape) {
  const bool fidelity_known = header.fidelity >= static_cast<uint8_t>(Fidelity::kReduced) &&
                              header.fidelity <= static_cast<uint8_t>(Fidelity::kExact);
  const std::optional<uint64_t> raw_bytes = RawBytes(shape);
  const bool agrees = fidelity_known && raw_bytes && *raw_bytes == header.raw_bytes;
  return agrees ? FrameFault::kNone : FrameFault::kBadShape;
}

// The form of a descriptor; what its parameters mean is the codec registry's to check.
FrameFault CheckDescriptors(std::span<const CodecDescriptor> descriptors) {
  for (const CodecDescriptor& descriptor : descriptors) {
    const std::span<const uint8_t> params(descriptor.params);
    const bool raw = descriptor.codec_id == kCodecRaw;
    if (descriptor.params_bytes > params.size() || (raw && descriptor.params_bytes != 0)) {
      return FrameFault::kBadDescriptor;
    }
    if (descriptor.reserved != 0 || !AllZero(params.subspan(descriptor.params_bytes))) {
      return FrameFault::kReservedSet;
    }
  }
  return FrameFault::kNone;
}

// A raw frame is its own source: with another's name it would pass for that block.
FrameFault CheckSource(const FrameHeader& header, std::span<const CodecDescriptor> descriptors) {
  if (header.source_root == Checksum128{}) return FrameFault::kNone;
  for (const CodecDescriptor& descriptor : descriptors) {
    if (descriptor.codec_id != kCodecRaw) return FrameFault::kNone;
  }
  return FrameFault::kReservedSet;
}

// The streams must tile the payload: each starts where the padding of the one before ends, the last
// padding ends the frame.
FrameFault CheckTiling(const FrameHeader& header, std::span<const StreamEntry> streams) {
  uint64_t offset = header.header_bytes;
  for (const StreamEntry& stream : streams) {
    if (stream.offset != offset) return FrameFault::kBadStream;
    if (stream.bytes > header.frame_bytes - offset) return FrameFault::kBadStream;
    offset += AlignFrame(stream.bytes);  // at most frame_bytes, because that is a multiple of 64
  }
  return offset == header.frame_bytes ? FrameFault::kNone : FrameFault::kBadStream;
}

// The directory is a function of the shape, but for the sizes of encoded streams.
FrameFault CheckDirectory(const KvShape& shape, std::span<const CodecDescriptor> descriptors,
                          std::span<const StreamEntry> streams) {
  // Counts first: RawStreams() then allocates no more than the directory that was already read.
  if (streams.size() != uint64_t{shape.layers} * StreamsOfLayer(shape.kind).size()) {
    return FrameFault::kBadStream;
  }
  const std::vector<RawStream> expected = RawStreams(shape);
  for (size_t i = 0; i < streams.size(); ++i) {
    const StreamEntry& found = streams[i];
    if (found.reserved != 0) return FrameFault::kReservedSet;
    if (found.descriptor >= descriptors.size() || found.tokens != shape.tokens ||
        found.kind != static_cast<uint8_t>(expected[i].kind) || found.layer != expected[i].layer ||
        found.head_begin != 0 || found.head_count != expected[i].heads || found.bytes == 0) {
      return FrameFault::kBadStream;
    }
    const bool raw = descriptors[found.descriptor].codec_id == kCodecRaw;
    if (raw && found.bytes != expected[i].bytes) return FrameFault::kBadStream;
  }
  return FrameFault::kNone;
}

}  // namespace

std::string_view FrameFaultText(FrameFault fault) {
  switch (fault) {
    case FrameFault::kNone:
      return "no fault";
    case FrameFault::kTooShort:
      return "cut short: fewer bytes than its header says";
    case FrameFault::kTooLong:
      return "bytes past its end: more than its header says";
    case FrameFault::kBadMagic:
      return "not a frame: expected the bytes LDRF first";
    case FrameFault::kBadVersion:
      return "another major version: expected 1";
    case FrameFault::kBadHeaderSize:
      return "sizes do not agree: expected the header size that the counts give, and header and "
             "frame within their limits";
    case FrameFault::kBadShape:
      return "shape is not valid: expected known enums, hashes of 1 to 32 bytes, and fields that "
             "give raw_bytes";
    case FrameFault::kBadDescriptor:
      return "unknown codec or parameters: expected a codec of this version ('larder codec list')";
    case FrameFault::kBadStream:
      return "stream directory is not valid: expected the shape's streams in order, filling the "
             "payload";
    case FrameFault::kReservedSet:
      return "reserved, unused or padding byte is set: expected zero";
    case FrameFault::kRootMismatch:
      return "header region does not match its checksum (root)";
    case FrameFault::kStreamMismatch:
      return "stream does not match its checksum in the directory";
  }
  return "unknown fault";
}

FrameFault CheckIdentity(const FrameIdentity& identity) {
  if (identity.prefix_hash_bytes == 0) return FrameFault::kBadShape;
  const FrameFault fault = CheckHash(identity.prefix_hash, identity.prefix_hash_bytes);
  if (fault != FrameFault::kNone) return fault;
  return CheckHash(identity.parent_hash, identity.parent_hash_bytes);
}

FrameFault FrameView::HeaderBytes(std::span<const std::byte> first_bytes, uint32_t* header_bytes) {
  if (first_bytes.size() < sizeof(FrameHeader)) return FrameFault::kTooShort;
  const FrameHeader header = LoadHeader(first_bytes);
  if (header.magic != kFrameMagic) return FrameFault::kBadMagic;
  if (header.version_major != kFrameVersionMajor) return FrameFault::kBadVersion;
  // A StreamEntry names its descriptor in 8 bits.
  const bool counts_hold =
      header.descriptor_count >= 1 && header.descriptor_count <= 256 && header.stream_count >= 1;
  const bool header_fits =
      header.header_bytes <= kFrameHeaderBytesMax &&
      header.header_bytes == FrameHeaderRegionBytes(header.descriptor_count, header.stream_count);
  const bool frame_fits = header.frame_bytes > header.header_bytes &&
                          header.frame_bytes <= kFrameBytesMax &&
                          header.frame_bytes % kFrameAlignment == 0;
  if (!counts_hold || !header_fits || !frame_fits) return FrameFault::kBadHeaderSize;
  *header_bytes = header.header_bytes;
  return FrameFault::kNone;
}

FrameFault FrameView::Parse(std::span<const std::byte> header_region, FrameView* view) {
  uint32_t header_bytes = 0;
  FrameFault fault = HeaderBytes(header_region, &header_bytes);
  if (fault != FrameFault::kNone) return fault;
  if (header_region.size() < header_bytes) return FrameFault::kTooShort;

  const FrameHeader& header = view->header_ = LoadHeader(header_region);
  std::span<const std::byte> rest = header_region.first(header_bytes).subspan(sizeof(FrameHeader));
  if (RootOf(header, rest) != header.root) return FrameFault::kRootMismatch;
  view->descriptors_ = LoadTable<CodecDescriptor>(header.descriptor_count, &rest);
  view->streams_ = LoadTable<StreamEntry>(header.stream_count, &rest);

  fault = CheckReserved(header, rest);
  if (fault == FrameFault::kNone) fault = CheckIdentity(view->identity());
  if (fault == FrameFault::kNone) fault = CheckShape(header, view->shape());
  if (fault == FrameFault::kNone) fault = CheckDescriptors(view->descriptors_);
  if (fault == FrameFault::kNone) fault = CheckSource(header, view->descriptors_);
  if (fault == FrameFault::kNone) fault = CheckTiling(header, view->streams_);
  if (fault == FrameFault::kNone)
    fault = CheckDirectory(view->shape(), view->descriptors_, view->streams_);
  return fault;
}

KvShape FrameView::shape() const {
  KvShape shape;
  shape.kind = static_cast<GroupKind>(header_.group_kind);
  shape.dtype = static_cast<Dtype>(header_.dtype);
  shape.axis_order = static_cast<AxisOrder>(header_.axis_order);
  shape.layer_begin = header_.layer_begin;
  shape.layers = header_.layers;
  shape.kv_heads = header_.kv_heads;
  shape.head_dim_k = header_.head_dim_k;
  shape.head_dim_v = header_.head_dim_v;
  shape.unit_bytes = header_.unit_bytes;
  shape.tokens = header_.tokens;
  return shape;
}

FrameIdentity FrameView::identity() const {
  FrameIdentity identity;
  identity.space_digest = header_.space_digest;
  identity.manifest_digest = header_.manifest_digest;
  identity.prefix_hash = header_.prefix_hash;
  identity.prefix_hash_bytes = header_.prefix_hash_bytes;
  identity.parent_hash = header_.parent_hash;
  identity.parent_hash_bytes = header_.parent_hash_bytes;
  identity.token_begin = header_.token_begin;
  return identity;
}

}  // namespace larder
