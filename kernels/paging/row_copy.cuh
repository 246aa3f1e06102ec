// Body of the copy of rows between layouts (row_copy.h). A thread moves words of 16 bytes; neighbours in a CTA have neighbouring
// words of a row, and then the next head's row of the same token, which is the next in memory on the NHD side.
#pragma once

#include "kernels/codec/device/tile_rows.cuh"
#include "kernels/paging/row_copy.h"

namespace larder {

inline constexpr uint32_t kCopyWordsPerThread = 4;  // loads in flight before the first store

LARDER_HOST_DEVICE inline uint32_t CopyWords(const RowCopy& copy) {
  return copy.heads * copy.tokens * (copy.row_bytes / 16);
}

// CTAs of one stream of one block.
LARDER_HOST_DEVICE inline uint32_t CopyUnits(const RowCopy& copy) {
  constexpr uint32_t kWords = kCtaThreads * kCopyWordsPerThread;
  return (CopyWords(copy) + kWords - 1) / kWords;
}

// Words [unit x 1024, + 1024) of stream `stream` of block `block`.
template <typename Cta>
LARDER_HOST_DEVICE void CopyRowsOf(Cta& cta, const RowCopy& copy, uint32_t unit, uint32_t stream,
                                   uint32_t block) {
  const uint32_t row_words = copy.row_bytes / 16, words = CopyWords(copy);
  cta.Each([&](unsigned thread) {
    Words4 loaded[kCopyWordsPerThread];
    uint8_t* targets[kCopyWordsPerThread];
    LARDER_UNROLL
    for (uint32_t i = 0; i < kCopyWordsPerThread; ++i) {
      const uint32_t word = (unit * kCopyWordsPerThread + i) * kCtaThreads + thread;
      targets[i] = nullptr;
      if (word >= words) continue;
      const uint32_t row = word / row_words, offset = word % row_words * 16;
      const uint32_t token = row / copy.heads, head = row % copy.heads;
      const uint8_t* from = copy.from.Row(copy.from.Tile(block, stream, head), block, token);
      targets[i] = copy.to.Row(copy.to.Tile(block, stream, head), block, token) + offset;
      loaded[i] = LoadWord<Words4>(from + offset);
    }
    LARDER_UNROLL
    for (uint32_t i = 0; i < kCopyWordsPerThread; ++i) {
      if (targets[i] != nullptr) StoreWord(loaded[i], targets[i]);
    }
  });
}

}  // namespace larder
