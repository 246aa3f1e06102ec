// The frequencies of an alphabet from its counts: what NormaliseFrequencies and device code share.
// std-only; device code includes it. Pure function.
#pragma once

#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

inline constexpr uint32_t kRansScale = 4096;  // sum of the frequencies of an alphabet
inline constexpr unsigned kRansScaleBits = 12;

// As rans.h says of NormaliseFrequencies.   Cost  up to size x size steps where most counts are small.
LARDER_HOST_DEVICE inline void NormaliseCounts(const uint64_t* counts, uint32_t size,
                                               uint32_t* frequencies) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < size; ++i) total += counts[i];
  uint32_t sum = 0;
  for (uint32_t i = 0; i < size; ++i) {
    const auto share = static_cast<uint32_t>(counts[i] * kRansScale / total);
    frequencies[i] = counts[i] > 0 && share == 0 ? 1 : share;
    sum += frequencies[i];
  }
  // From f to f + 1 saves about count / (f + 1/2): compare these quotients as products.
  for (; sum < kRansScale; ++sum) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < size; ++i) {
      if (counts[i] * (2 * frequencies[best] + 1) > counts[best] * (2 * frequencies[i] + 1)) {
        best = i;
      }
    }
    ++frequencies[best];
  }
  for (; sum > kRansScale; --sum) {
    uint32_t best = size;
    for (uint32_t i = 0; i < size; ++i) {
      if (frequencies[i] < 2) continue;
      if (best == size ||
          counts[i] * (2 * frequencies[best] - 1) < counts[best] * (2 * frequencies[i] - 1)) {
        best = i;
      }
    }
    --frequencies[best];
  }
}

// An entry of RansTables::slots: the slot `bias` of the range of `symbol`.
LARDER_HOST_DEVICE inline uint32_t RansSlot(uint32_t symbol, uint32_t frequency, uint32_t bias) {
  return (symbol & 0xFF) | (frequency - 1) << 8 | bias << 20;
}

// An entry of RansTables::reciprocals.
LARDER_HOST_DEVICE inline uint32_t RansReciprocal(uint32_t frequency) {
  return frequency < 2 ? 0xFFFFFFFFu : static_cast<uint32_t>((uint64_t{1} << 32) / frequency);
}

}  // namespace larder
