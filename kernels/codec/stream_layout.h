// Layout of an encoded stream.
//
// An encoded stream of H heads, T tokens, D channels (S sinks, as its descriptor says):
//   [tile bytes, u32 each, H of them, zero to a multiple of 16; only when the codec's size varies]
//   [sink rows, raw: head by head, S x D elements]
//   [tile of head 0][zero to a multiple of 16][tile of head 1]...   tiles of T - S tokens
// Pure functions.
#pragma once

#include <cstdint>

#include "kernels/codec/registry.h"
#include "kernels/codec/tile.h"
#include "kernels/format/kv_layout.h"

namespace larder {

// Tiles start on 16 bytes, the width that a vector load of scales or codes may use.
inline constexpr uint64_t kTileAlignment = 16;

constexpr uint64_t AlignTile(uint64_t bytes) {
  return (bytes + kTileAlignment - 1) / kTileAlignment * kTileAlignment;
}

// Channels of one head of a stream.
uint32_t HeadDim(const KvShape& shape, StreamKind kind);

// Whether codecs apply: keys, values and latents of bf16 and fp16.
bool IsCodable(const KvShape& shape, StreamKind kind);

// Parts of one encoded stream.
struct StreamLayout {
  TileShape tile;
  uint64_t table_bytes = 0;       // 0 when the codec's size is fixed
  uint64_t sink_bytes = 0;        // of one head
  uint64_t tile_bytes_max = 0;    // of one head, aligned; exact when table_bytes is 0
  uint64_t stream_bytes_max = 0;  // of all heads; exact when table_bytes is 0
};

// `codec` is not kRaw, its tile codec accepts the tile.
StreamLayout LayoutOf(const StreamCodec& codec, const KvShape& shape, StreamKind kind,
                      uint32_t heads);

// Whether `codec` applies to this stream of this shape at this position: known, codable, parameters
// accepted, sinks only at the chain's start and fewer than the tokens.
bool Applies(const StreamCodec& codec, const KvShape& shape, StreamKind kind, uint64_t token_begin);

}  // namespace larder
