// Rows of KV tensors from one layout in device memory to another: gather of an engine's pages into raw blocks, scatter of raw
// blocks into pages, sinks and streams that no codec touches. Encoders and decoders need no such copy: their rows may stand in
// pages themselves (TileRun::rows).
//
// Layouts are RunRows: strides of block, stream, head and token, and a page table or none. Engines' layouts in its terms, with
// row = head_dim elements, page = page_tokens x heads rows:
//   paged NHD, [K or V][page][token][head][row]   page_stride = page, token_stride = heads rows, head_stride = 1 row
//   paged HND, [K or V][page][head][token][row]   page_stride = page, token_stride = 1 row, head_stride = page_tokens rows
//   raw block                                     no pages; kernels/format/kv_layout.h
// std-only. Pure values.
#pragma once

#include <cstdint>

#include "kernels/codec/device/tile_run.h"

namespace larder {

struct RowCopy {
  RunRows from;
  RunRows to;  // rows of different (block, stream, head, token) do not overlap
  uint32_t blocks = 0;
  uint32_t streams = 0;
  uint32_t heads = 0;
  uint32_t tokens = 0;
  uint32_t row_bytes = 0;  // a multiple of 16
};

// Whether rows may be read and written by words of 16 bytes.
bool RowsHold(const RunRows& rows);

// Whether a copy is one that may be launched: counts, pointers, and 16-byte alignment of bases, strides and rows.
bool RowCopyHolds(const RowCopy& copy);

}  // namespace larder
