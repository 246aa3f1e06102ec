// Payloads whose streams do not all take what the plan says: their sizes vary, or their values can not be coded and stand raw.
// Where a stream begins is then known only when all before it are coded, so tiles are coded apart and moved together:
//
//   encode   tiles to slots of the most they may take  ->  LayOutFrame (a CTA per block)  ->  PackTile (one per tile)
//   decode   OpenFrame (a CTA per block)  ->  tiles where they stand  ->  UnpackRows (one per tile)
//
// Everything here is a plain value that a kernel takes as its parameter: pointers are device pointers (host pointers for HostCta).
// std-only. Pure values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/codec/device/tile_run.h"

namespace larder {

inline constexpr size_t kFrameKindsMax = 2;  // streams of a layer

// Where a stream of a block stands in its payload: what StreamEntry and descriptor say, the offset counted from the payload.
// Written by an encoder. A decoder reads it: offset and bytes lie within the payload, as FrameView::Parse and CheckCodecs
// have checked.
struct PlacedStream {
  uint64_t offset = 0;
  uint64_t bytes = 0;  // without padding
  uint32_t raw = 0;    // 1: its rows as they are, although the plan may have a codec for it
  uint32_t reserved = 0;
};
static_assert(sizeof(PlacedStream) == 24);

// A stream as the plan has it; a table of them is part of the plan's image. Values "of the part" are of a run of consecutive
// layers with equal codecs: arrays by tile hold, for each part, [block][layer of the part][head].
struct PackStream {
  uint32_t kind = 0;   // of FramePack::rows
  uint32_t layer = 0;  // of the block, from 0
  uint32_t row_bytes = 0;
  uint32_t coded = 0;
  int64_t raw_token_stride = 0;  // of its raw form
  int64_t raw_head_stride = 0;
  // When coded:
  uint64_t drafts_at = 0;  // bytes before the part's, of one block
  uint32_t tiles_at = 0;   // tiles before the part's, of one block
  uint32_t flags_at = 0;   // flags before the part's, of one block
  uint32_t part_layers = 0;
  uint32_t part_layer = 0;
  uint32_t slot_bytes = 0;   // of a tile and the zeros behind it, the most
  uint32_t tile_bytes = 0;   // the most
  uint32_t table_bytes = 0;  // 0 when the size is fixed
  uint32_t sinks = 0;
};
static_assert(sizeof(PackStream) == 72);

struct FramePack {
  std::array<RunRows, kFrameKindsMax> rows;
  const PackStream* plan = nullptr;  // [stream]
  PlacedStream* placed = nullptr;    // [block][stream]
  uint8_t* payloads = nullptr;
  int64_t payload_stride = 0;
  uint32_t blocks = 0;
  uint32_t kinds = 0;  // of rows
  uint32_t streams = 0;
  uint32_t heads = 0;
  uint32_t tokens = 0;
  const uint8_t* drafts = nullptr;
  // By tile. Sizes of fixed-size tiles are not kept.
  uint32_t* sizes = nullptr;
  uint64_t* places = nullptr;
  uint32_t* refused = nullptr;  // by block and stream of a part
};

}  // namespace larder
