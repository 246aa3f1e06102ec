#include "kernels/codec/block_coder.h"

#include <algorithm>
#include <cstring>

namespace larder {
namespace {

// Rows of one head of a stream that begins at `base` in raw form.
template <typename Byte>
TileRows<Byte> RawRows(const KvShape& shape, StreamKind kind, uint32_t head, Byte* base) {
  TileRows<Byte> rows;
  rows.base = base;
  if (kind == StreamKind::kState) return rows;  // one row
  if (kind == StreamKind::kOpaque) {
    rows.token_stride = shape.unit_bytes;
    return rows;
  }
  const ptrdiff_t row_bytes = ptrdiff_t{HeadDim(shape, kind)} * DtypeBytes(shape.dtype);
  const bool hnd = shape.kind == GroupKind::kAttention && shape.axis_order == AxisOrder::kHnd;
  const uint32_t heads = shape.kind == GroupKind::kAttention ? shape.kv_heads : 1;
  rows.token_stride = hnd ? row_bytes : row_bytes * heads;
  rows.base = base + (hnd ? row_bytes * shape.tokens : row_bytes) * head;
  return rows;
}

uint64_t StreamBytesMax(const StreamCodec& codec, const KvShape& shape, const RawStream& stream) {
  if (codec.id == CodecId::kRaw) return stream.bytes;
  // A stream that can not be coded falls back to its raw form.
  return std::max(stream.bytes, LayoutOf(codec, shape, stream.kind, stream.heads).stream_bytes_max);
}

// The descriptors of a frame, each once.
struct DescriptorTable {
  std::vector<CodecDescriptor> rows;

  uint8_t IndexOf(const StreamCodec& codec) {
    const CodecDescriptor descriptor = DescriptorOf(codec);
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const CodecDescriptor& row) {
      return std::memcmp(&row, &descriptor, sizeof(descriptor)) == 0;
    });
    if (found == rows.end()) {
      rows.push_back(descriptor);
      return static_cast<uint8_t>(rows.size() - 1);
    }
    return static_cast<uint8_t>(found - rows.begin());
  }
};

EncodedBlock Joined(const EncodedParts& parts) {
  EncodedBlock block{parts.header, parts.coded_streams, parts.fallback_streams};
  if (block.frame.empty()) return block;
  block.frame.reserve(parts.header.size() + parts.payload.size());
  block.frame.insert(block.frame.end(), parts.payload.begin(), parts.payload.end());
  return block;
}

bool MayBeMalformed(const FrameView& frame, const StreamEntry& stream) {
  const auto codec = ReadDescriptor(frame.descriptors()[stream.descriptor]);
  return codec && codec->id != CodecId::kRaw && !FindTileCodec(codec->id)->FixedSize();
}

// Every head in the same place.
class OneHeadTarget final : public StreamTarget {
 public:
  OneHeadTarget(std::byte* rows, size_t row_bytes) : rows_(rows), row_bytes_(row_bytes) {}
  TargetRows Rows(StreamKind, uint32_t, uint32_t) const override {
    TargetRows rows;
    rows.base = rows_;
    rows.token_stride = static_cast<ptrdiff_t>(row_bytes_);
    return rows;
  }

 private:
  std::byte* const rows_;
  const size_t row_bytes_;
};

}  // namespace

EncodedParts JoinStreams(const FrameIdentity& identity, const KvShape& shape,
                         std::span<const StreamCodec> planned, std::span<const CodedStream> streams,
                         std::span<const std::byte> payload, const Checksum128& source_root) {
  EncodedParts parts;
  parts.payload = payload;
  DescriptorTable descriptors;
  Fidelity fidelity = Fidelity::kExact;
  std::vector<FrameStream> entries;
  for (size_t i = 0; i < streams.size(); ++i) {
    const StreamCodec& codec = streams[i].codec;
    if (codec.id != CodecId::kRaw) ++parts.coded_streams;
    if (codec.id == CodecId::kRaw && planned[i].id != CodecId::kRaw) ++parts.fallback_streams;
    fidelity = std::min(fidelity, FidelityOf(codec));
    entries.push_back({descriptors.IndexOf(codec), streams[i].bytes});
  }
  // When nothing could be coded the frame is a raw one, which has no other source.
  const Checksum128 source = parts.coded_streams > 0 ? source_root : Checksum128{};
  parts.header =
      BuildFrameHeader(identity, shape, {fidelity, descriptors.rows, entries, payload, source});
  return parts;
}

TargetRows RawTarget::Rows(StreamKind kind, uint32_t layer, uint32_t head) const {
  uint64_t layer_bytes = 0, before = 0;
  for (StreamKind each : StreamsOfLayer(shape_.kind)) {
    if (each == kind) before = layer_bytes;
    layer_bytes += RawStreamBytes(shape_, each).value_or(0);
  }
  std::byte* base = raw_.data() + (layer - shape_.layer_begin) * layer_bytes + before;
  return RawRows(shape_, kind, head, base);
}

const RopeTable* BlockCoder::RopeOf(const CodecParams& params, uint64_t begin, uint32_t tokens) {
  if ((params.transform & kTransformUnrope) == 0) return nullptr;
  CodecParams rotation;
  rotation.rope_pairing = params.rope_pairing;
  rotation.rope_scaling = params.rope_scaling;
  rotation.rope_rotary_dim = params.rope_rotary_dim;
  rotation.rope_theta = params.rope_theta;
  rotation.rope_scaling_factor = params.rope_scaling_factor;
  rotation.rope_attention_factor = params.rope_attention_factor;
  if (rope_ == nullptr || !(rotation == rope_params_) || begin != rope_begin_ ||
      tokens != rope_tokens_) {
    rope_ = std::make_unique<RopeTable>(rotation, begin, tokens);
    rope_params_ = rotation;
    rope_begin_ = begin;
    rope_tokens_ = tokens;
  }
  return rope_.get();
}

uint64_t BlockCoder::EncodeStream(const StreamCodec& codec, const KvShape& shape,
                                  const RawStream& stream, uint64_t token_begin,
                                  std::span<const std::byte> raw, std::byte* out) {
  const TileCodec& tile_codec = *FindTileCodec(codec.id);
  const uint32_t sinks = codec.params.sinks;
  const StreamLayout layout = LayoutOf(codec, shape, stream.kind, stream.heads);
  const size_t row_bytes = layout.tile.head_dim * DtypeBytes(shape.dtype);
  std::memset(out, 0, layout.table_bytes);
  std::byte* at = out + layout.table_bytes;
  for (uint32_t head = 0; head < stream.heads; ++head) {
    const SourceRows rows = RawRows(shape, stream.kind, head, raw.data());
    for (uint32_t token = 0; token < sinks; ++token, at += row_bytes) {
      std::memcpy(at, rows.Row(token), row_bytes);
    }
  }
  TileContext context{codec.params, shape.dtype, stream.kind, stream.layer};
  context.rope = RopeOf(codec.params, token_begin, shape.tokens);
  context.rope_begin = sinks;
  context.isa = isa_;
  for (uint32_t head = 0; head < stream.heads; ++head) {
    SourceRows rows = RawRows(shape, stream.kind, head, raw.data());
    rows.first_token = sinks;
    const auto bytes = tile_codec.Encode(context, layout.tile, rows, workspace_, at);
    if (!bytes) return 0;
    if (layout.table_bytes > 0) {
      const auto size = static_cast<uint32_t>(*bytes);
      std::memcpy(out + head * sizeof(size), &size, sizeof(size));
    }
    std::memset(at + *bytes, 0, AlignTile(*bytes) - *bytes);
    at += AlignTile(*bytes);
  }
  return static_cast<uint64_t>(at - out);
}

bool BlockCoder::WouldCode(const BlockRecipe& recipe, KvShape shape, uint32_t tokens,
                           uint64_t token_begin) {
  shape.tokens = tokens;
  for (const StreamKind kind : StreamsOfLayer(shape.kind)) {
    for (uint32_t layer = 0; layer < shape.layers; ++layer) {
      RawStream stream;
      stream.kind = kind;
      stream.layer = shape.layer_begin + layer;
      if (CodecOf(recipe, shape, token_begin, stream).id != CodecId::kRaw) return true;
    }
  }
  return false;
}

EncodedParts BlockCoder::EncodeParts(const BlockRecipe& recipe, const FrameIdentity& identity,
                                     const KvShape& shape, std::span<const std::byte> raw,
                                     const Checksum128& source_root) {
  const auto choose = [&](size_t, const RawStream& stream) {
    return CodecOf(recipe, shape, identity.token_begin, stream);
  };
  return EncodeStreams(choose, identity, shape, raw, source_root);
}

EncodedBlock BlockCoder::Encode(const BlockRecipe& recipe, const FrameIdentity& identity,
                                const KvShape& shape, std::span<const std::byte> raw,
                                const Checksum128& source_root) {
  return Joined(EncodeParts(recipe, identity, shape, raw, source_root));
}

EncodedBlock BlockCoder::EncodeLike(const FrameView& like, std::span<const std::byte> raw) {
  const auto choose = [&](size_t index, const RawStream&) {
    const StreamEntry& stream = like.streams()[index];
    return ReadDescriptor(like.descriptors()[stream.descriptor]).value_or(StreamCodec{});
  };
  return Joined(
      EncodeStreams(choose, like.identity(), like.shape(), raw, like.header().source_root));
}

EncodedParts BlockCoder::EncodeStreams(const ChooseCodec& choose, const FrameIdentity& identity,
                                       const KvShape& shape, std::span<const std::byte> raw,
                                       const Checksum128& source_root) {
  const auto raw_bytes = RawBytes(shape);
  if (!raw_bytes || raw.size() != *raw_bytes) return {};
  const std::vector<RawStream> raw_streams = RawStreams(shape);
  std::vector<StreamCodec> codecs;
  uint64_t payload_max = 0;
  for (const RawStream& stream : raw_streams) {
    const StreamCodec codec = choose(codecs.size(), stream);
    codecs.push_back(codec);
    payload_max += AlignFrame(StreamBytesMax(codec, shape, stream));
  }
  if (payload_.size() < payload_max) payload_.resize(payload_max);
  std::vector<CodedStream> streams;
  std::byte* at = payload_.data();
  for (const RawStream& stream : raw_streams) {
    StreamCodec codec = codecs[streams.size()];
    const std::span<const std::byte> source = raw.subspan(stream.offset, stream.bytes);
    uint64_t bytes = 0;
    if (codec.id != CodecId::kRaw) {
      bytes = EncodeStream(codec, shape, stream, identity.token_begin, source, at);
      if (bytes == 0) codec = {};
    }
    if (codec.id == CodecId::kRaw) {
      bytes = source.size();
      std::memcpy(at, source.data(), bytes);
    }
    std::memset(at + bytes, 0, AlignFrame(bytes) - bytes);
    at += AlignFrame(bytes);
    streams.push_back({codec, bytes});
  }
  return JoinStreams(identity, shape, codecs, streams, {payload_.data(), at}, source_root);
}

bool BlockCoder::IsWellFormed(const FrameView& frame, size_t index, std::span<const std::byte> in) {
  const StreamEntry& stream = frame.streams()[index];
  if (!MayBeMalformed(frame, stream)) return true;
  const KvShape shape = frame.shape();
  const size_t row_bytes =
      size_t{HeadDim(shape, static_cast<StreamKind>(stream.kind))} * DtypeBytes(shape.dtype);
  rows_.resize(std::max(rows_.size(), row_bytes * shape.tokens));
  return DecodeStream(frame, index, in, OneHeadTarget(rows_.data(), row_bytes));
}

bool HasVaryingStreams(const FrameView& frame) {
  return std::ranges::any_of(
      frame.streams(), [&](const StreamEntry& stream) { return MayBeMalformed(frame, stream); });
}

bool BlockCoder::DecodeStream(const FrameView& frame, size_t index, std::span<const std::byte> in,
                              const StreamTarget& target) {
  const StreamEntry& stream = frame.streams()[index];
  const KvShape shape = frame.shape();
  const auto kind = static_cast<StreamKind>(stream.kind);
  const auto codec = ReadDescriptor(frame.descriptors()[stream.descriptor]);
  if (!codec || in.size() != stream.bytes) return false;
  if (codec->id == CodecId::kRaw) {
    const uint32_t tokens = kind == StreamKind::kState ? 1 : shape.tokens;
    const uint64_t row_bytes = stream.bytes / tokens / stream.head_count;
    for (uint32_t head = 0; head < stream.head_count; ++head) {
      const SourceRows from = RawRows(shape, kind, head, in.data());
      const TargetRows to = target.Rows(kind, stream.layer, head);
      for (uint32_t t = 0; t < tokens; ++t) std::memcpy(to.Row(t), from.Row(t), row_bytes);
    }
    return true;
  }
  const TileCodec& tile_codec = *FindTileCodec(codec->id);
  const uint32_t sinks = codec->params.sinks;
  const StreamLayout layout = LayoutOf(*codec, shape, kind, stream.head_count);
  const size_t row_bytes = layout.tile.head_dim * DtypeBytes(shape.dtype);
  uint64_t at = layout.table_bytes + stream.head_count * layout.sink_bytes;
  if (at > in.size()) return false;
  TileContext context{codec->params, shape.dtype, kind, stream.layer};
  context.rope = RopeOf(codec->params, frame.header().token_begin, shape.tokens);
  context.rope_begin = sinks;
  context.isa = isa_;
  for (uint32_t head = 0; head < stream.head_count; ++head) {
    TargetRows rows = target.Rows(kind, stream.layer, head);
    const std::byte* sink = in.data() + layout.table_bytes + head * layout.sink_bytes;
    for (uint32_t token = 0; token < sinks; ++token, sink += row_bytes) {
      std::memcpy(rows.Row(token), sink, row_bytes);
    }
    uint64_t bytes = tile_codec.BytesMax(codec->params, layout.tile);
    if (layout.table_bytes > 0) {
      uint32_t size;
      std::memcpy(&size, in.data() + head * sizeof(size), sizeof(size));
      if (size > bytes) return false;
      bytes = size;
    }
    if (AlignTile(bytes) > in.size() - at) return false;
    rows.first_token += sinks;
    if (!tile_codec.Decode(context, layout.tile, in.subspan(at, bytes), workspace_, rows)) {
      return false;
    }
    at += AlignTile(bytes);
  }
  return at == in.size();
}

bool DecodeFrame(BlockCoder& coder, const FrameView& frame, std::span<const std::byte> bytes,
                 std::span<std::byte> raw) {
  if (CheckCodecs(frame) != FrameFault::kNone || raw.size() != frame.header().raw_bytes ||
      bytes.size() != frame.header().frame_bytes) {
    return false;
  }
  const RawTarget target(frame.shape(), raw);
  for (size_t i = 0; i < frame.streams().size(); ++i) {
    const StreamEntry& stream = frame.streams()[i];
    if (!coder.DecodeStream(frame, i, bytes.subspan(stream.offset, stream.bytes), target)) {
      return false;
    }
  }
  return true;
}

}  // namespace larder
