// The choice of a channel's table: what cachegen_quantiser.cc and device code share. std-only; device code includes it.
#pragma once

#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

inline constexpr uint32_t kCacheGenTables = 64;
inline constexpr uint32_t kCacheGenSigmas = kCacheGenTables / 2;
inline constexpr uint32_t kCacheGenMagnitudes = 16;

// The table that codes a channel shortest, the lowest among equals, of those whose mean magnitude is near. `counts` of
// each |k|; `means` and `lengths` are those of SymbolLevel.
LARDER_HOST_DEVICE inline uint8_t CacheGenTableOf(const uint32_t* means, const uint32_t* lengths,
                                                  const uint32_t* counts, uint32_t tokens) {
  constexpr uint32_t kReach = 2;  // tables around the expected one that are tried on each side
  uint64_t sum = 0;
  for (uint32_t k = 1; k < kCacheGenMagnitudes; ++k) sum += uint64_t{k} * counts[k];
  const uint64_t mean = sum * 65'536 / tokens;
  uint64_t best_length = ~uint64_t{0};
  uint32_t best = 0;
  for (uint32_t family = 0; family < kCacheGenTables; family += kCacheGenSigmas) {
    uint32_t place = 0;  // of the first table with that mean, which rise
    while (place < kCacheGenSigmas && means[family + place] < mean) ++place;
    uint32_t begin = place > kReach ? place - kReach : 0;
    if (begin > kCacheGenSigmas - kReach) begin = kCacheGenSigmas - kReach;
    for (uint32_t i = begin; i < place + kReach && i < kCacheGenSigmas; ++i) {
      const uint32_t* length_of = lengths + uint64_t{family + i} * kCacheGenMagnitudes;
      uint64_t length = 0;
      for (uint32_t k = 0; k < kCacheGenMagnitudes; ++k) {
        length += uint64_t{counts[k]} * length_of[k];
      }
      if (length < best_length) {
        best_length = length;
        best = family + i;
      }
    }
  }
  return static_cast<uint8_t>(best);
}

}  // namespace larder
