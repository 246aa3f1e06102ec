// SplitMix64's output function: a well-mixed word of (seed, index). Signs, permutations and random matrices come from it.
// Source: Steele, Lea, Flood (2014). std-only; device code includes it. Pure function.
#pragma once

#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

LARDER_HOST_DEVICE inline uint64_t SeededWord(uint64_t seed, uint64_t index) {
  uint64_t word = seed + (index + 1) * 0x9E3779B97F4A7C15ull;
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ull;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBull;
  return word ^ (word >> 31);
}

}  // namespace larder
