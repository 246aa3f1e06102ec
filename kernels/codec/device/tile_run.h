// What one launch of the tile kernels codes: all tiles of consecutive streams of one kind and one codec, of one block
// or of several blocks of the same shape.
//
// A tile is the rows of one head of one stream (kernels/codec/tile.h); stream s of a run is the layer layer_begin + s.
// Everything here is a plain value that a kernel takes as its parameter: pointers are device pointers (host pointers for
// HostCta). Memory belongs to the caller and must stay until the stream has passed the launch.
// Alignment: every base and every stride of rows and tiles is a multiple of 16 bytes; CheckRun refuses others.
// std-only. Pure values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/codec/codec_params.h"
#include "kernels/codec/lloyd_max.h"
#include "kernels/codec/polar_book.h"
#include "kernels/codec/tile.h"
#include "kernels/format/kv_layout.h"

namespace larder {

// Where the rows stand, in bytes: element 0 of row t of head h, stream s, block b is at
//   base + b block_stride + s stream_stride + h head_stride + t' token_stride,  t' = first_token + t;
// with a page table the last term is page(b, t' / page_tokens) page_stride + (t' % page_tokens) token_stride, where
// page(b, i) = pages[b pages_per_block + i].
struct RunRows {
  uint8_t* base = nullptr;  // an encoder only reads
  int64_t block_stride = 0;
  int64_t stream_stride = 0;
  int64_t head_stride = 0;
  int64_t token_stride = 0;
  const int32_t* pages = nullptr;
  uint32_t pages_per_block = 0;
  uint32_t page_tokens = 1;
  int64_t page_stride = 0;
  uint32_t first_token = 0;

  LARDER_HOST_DEVICE uint8_t* Tile(uint32_t block, uint32_t stream, uint32_t head) const {
    return base + block * block_stride + stream * stream_stride + head * head_stride;
  }
  LARDER_HOST_DEVICE uint8_t* Row(uint8_t* tile, uint32_t block, uint32_t row) const {
    const uint32_t token = first_token + row;
    if (pages == nullptr) return tile + token * token_stride;
    const int64_t page = pages[uint64_t{block} * pages_per_block + token / page_tokens];
    return tile + page * page_stride + (token % page_tokens) * token_stride;
  }
};

// Where the encoded tiles stand: base + b block_stride + s stream_stride + h head_stride. A tile may be followed by up to
// 15 zero bytes, which the encoder writes: head_stride is at least AlignTile(tile bytes).
struct RunTiles {
  uint8_t* base = nullptr;  // a decoder only reads
  int64_t block_stride = 0;
  int64_t stream_stride = 0;
  int64_t head_stride = 0;
  // Of a decoder alone: [block][stream][head], bytes behind base + b block_stride, multiples of 16, instead of the strides of
  // stream and head. kNoTile: there is none, and its rows stay as they are.
  const uint64_t* places = nullptr;
};

inline constexpr uint64_t kNoTile = ~uint64_t{0};
inline constexpr uint32_t kNoTileBytes = ~uint32_t{0};  // in TileRun::sizes: not well-formed

// Tables that the host computes (device_tables.h), in device memory.
struct RunTables {
  const float* cosines =
      nullptr;  // [token][pairs], of the run's first row on; with kTransformUnrope
  const float* sines = nullptr;
  const uint16_t* places =
      nullptr;  // [stream][channel]: where a channel stands when rotated; null for powers of two
  // Of kTurboTiered: the same of the channels of each tier.
  std::array<const uint16_t*, 2> tier_places{};
  // With kTransformHaar: [D][D] each, as SketchOps::multiply takes them.
  const float* rotation = nullptr;
  const float* rotation_back = nullptr;
  // Of kTurboProd and kQjl: the matrix of the sketch, [D][m] and [m][D].
  const float* sketch = nullptr;
  const float* sketch_back = nullptr;
};

inline constexpr uint32_t kRunValues = 64;  // of every alphabet, filled up with zeros

// Of kUniform and kCacheGen: a SymbolLevel in device memory.
struct RunSymbols {
  int limit = 0;
  float steps_per_sigma = 0;
  uint32_t alphabet = 0;
  const float* values = nullptr;  // [kRunValues]
  const uint32_t* slots = nullptr;
  const uint32_t* ranges = nullptr;
  const uint32_t* reciprocals = nullptr;
  const uint32_t* means = nullptr;
  const uint32_t* lengths = nullptr;
};

struct TileRun {
  CodecId id = CodecId::kRaw;
  Dtype dtype = Dtype::kBf16;  // kBf16 or kFp16
  CodecParams params;
  TileShape shape;           // rows without sinks
  uint32_t layer_begin = 0;  // absolute; enters the seeds
  uint32_t streams = 0;
  uint32_t heads = 0;
  uint32_t blocks = 0;
  RunRows rows;
  RunTiles tiles;
  RunTables tables;
  // [block][stream]: an encoder sets 1 where a value can not be coded; the stream's tiles then mean nothing. A decoder of
  // tiles whose size varies sets 1 where one is not well-formed; its rows then mean nothing.
  uint32_t* refused = nullptr;
  uint32_t tile_bytes = 0;  // of a tile without the zeros behind it; the most when the size varies
  // [block][stream][head], when the size varies: written by an encoder, read by a decoder. A larger one than tile_bytes is
  // not well-formed.
  uint32_t* sizes = nullptr;
  // scratch_bytes for each tile, in the same order, aligned to 16; only of an encoder and when the size varies.
  uint8_t* scratch = nullptr;
  uint32_t scratch_bytes = 0;
  RunSymbols symbols;
  Codebook book;         // of kTurbo, of kTurboProd's first stage, of kTurboTiered's weak tier
  Codebook strong_book;  // of kTurboTiered
  std::array<AngleBook, kPolarLevels> polar;  // of kPolar

  LARDER_HOST_DEVICE uint64_t TileIndex(uint32_t block, uint32_t stream, uint32_t head) const {
    return (uint64_t{block} * streams + stream) * heads + head;
  }
};

// Whether encoded tiles differ in size, so that a run needs `sizes`, and its encoder `scratch`.
constexpr bool SizeVaries(CodecId id) {
  return id == CodecId::kLossless || id == CodecId::kUniform || id == CodecId::kCacheGen;
}

inline constexpr uint32_t kDeviceHeadDimMax = 1024;

// Rows that a CTA handles between two synchronisations.
LARDER_HOST_DEVICE constexpr uint32_t PortionRows(uint32_t head_dim) {
  return head_dim <= 128 ? 64 : 32;
}

// Row stride of a portion in shared memory, in floats: rows start 16 banks apart.
LARDER_HOST_DEVICE constexpr uint32_t RowPitch(uint32_t head_dim) { return head_dim + 16; }

}  // namespace larder
