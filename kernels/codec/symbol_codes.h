// Single elements to the symbols of an entropy coder and back: what symbol_ops_scalar.cc and device code share.
// std-only; device code includes it. Pure functions.
#pragma once

#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

// Added to a float below 2^22 in magnitude, its lowest mantissa bits are the nearest integer, half to even.
inline constexpr float kRoundingShift = 0x1.8p23f;

// Of kUniform, of a row: below, D / energy might overflow; fp16 scales end far above.
inline constexpr float kUniformEnergyMin = 0x1p-80f;

// limit + the integer nearest to value * factor (half to even), clamped to +-limit. limit <= 127; the product is no NaN.
LARDER_HOST_DEVICE inline uint8_t SymbolOfValue(float value, float factor, int limit) {
  const auto bound = static_cast<float>(limit);
  const uint32_t zero = BitsOf(kRoundingShift) - static_cast<uint32_t>(limit);
  float step = value * factor;
  step = step < bound ? step : bound;
  step = step > -bound ? step : -bound;
  return static_cast<uint8_t>(BitsOf(step + kRoundingShift) - zero);
}

// What lossless codes keep apart of an element: exponent, and the other bits.
struct SplitElement {
  uint8_t exponent;
  uint8_t low;   // bf16: sign (bit 7) and mantissa; fp16: the low 8 bits of the mantissa
  uint8_t high;  // fp16: its high 2 bits (0, 1) and the sign (2)
};

LARDER_HOST_DEVICE inline SplitElement SplitBf16Element(uint32_t value) {
  return {static_cast<uint8_t>(value >> 7),
          static_cast<uint8_t>((value >> 8 & 0x80) | (value & 0x7F)), 0};
}
LARDER_HOST_DEVICE inline uint16_t MergeBf16Element(SplitElement split) {
  return static_cast<uint16_t>((split.low & 0x80u) << 8 | uint32_t{split.exponent} << 7 |
                               (split.low & 0x7Fu));
}
LARDER_HOST_DEVICE inline SplitElement SplitFp16Element(uint32_t value) {
  return {static_cast<uint8_t>(value >> 10 & 31), static_cast<uint8_t>(value),
          static_cast<uint8_t>((value >> 8 & 3) | value >> 15 << 2)};
}
LARDER_HOST_DEVICE inline uint16_t MergeFp16Element(SplitElement split) {
  return static_cast<uint16_t>((split.high & 4u) << 13 | uint32_t{split.exponent} << 10 |
                               (split.high & 3u) << 8 | split.low);
}

}  // namespace larder
