#include "kernels/codec/stream_layout.h"

namespace larder {

uint32_t HeadDim(const KvShape& shape, StreamKind kind) {
  return kind == StreamKind::kKey || kind == StreamKind::kLatent ? shape.head_dim_k
                                                                 : shape.head_dim_v;
}

bool IsCodable(const KvShape& shape, StreamKind kind) {
  return (shape.dtype == Dtype::kBf16 || shape.dtype == Dtype::kFp16) &&
         (kind == StreamKind::kKey || kind == StreamKind::kValue || kind == StreamKind::kLatent);
}

StreamLayout LayoutOf(const StreamCodec& codec, const KvShape& shape, StreamKind kind,
                      uint32_t heads) {
  const TileCodec& tile_codec = *FindTileCodec(codec.id);
  const uint32_t sinks = codec.params.sinks;
  StreamLayout layout;
  layout.tile = {shape.tokens - sinks, HeadDim(shape, kind)};
  if (!tile_codec.FixedSize()) layout.table_bytes = AlignTile(uint64_t{heads} * sizeof(uint32_t));
  layout.sink_bytes = uint64_t{sinks} * layout.tile.head_dim * DtypeBytes(shape.dtype);
  layout.tile_bytes_max = AlignTile(tile_codec.BytesMax(codec.params, layout.tile));
  layout.stream_bytes_max =
      layout.table_bytes + heads * (layout.sink_bytes + layout.tile_bytes_max);
  return layout;
}

bool Applies(const StreamCodec& codec, const KvShape& shape, StreamKind kind,
             uint64_t token_begin) {
  const TileCodec* tile_codec = FindTileCodec(codec.id);
  if (tile_codec == nullptr || !IsCodable(shape, kind)) return false;
  const uint32_t sinks = codec.params.sinks;
  if (sinks > kSinksMax || sinks >= shape.tokens || (sinks > 0 && token_begin > 0)) return false;
  if ((codec.params.transform & kTransformUnrope) != 0 &&
      (kind != StreamKind::kKey || !RopeReaches(token_begin, shape.tokens))) {
    return false;
  }
  return tile_codec->Accepts(codec.params, {shape.tokens - sinks, HeadDim(shape, kind)});
}

}  // namespace larder
