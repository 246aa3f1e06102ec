// Between numbers and the symbols that an entropy coder takes; scalar and SIMD forms give the same bytes.
//
// Counts are multiples of 16. Pointers need no alignment; ranges of one call do not overlap. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/vector_ops.h"

namespace larder {

struct SymbolOps {
  // bf16: the 8 exponent bits; sign (bit 7) and mantissa (7 bits).
  void (*split_bf16)(const uint16_t* values, uint8_t* exponents, uint8_t* rest, size_t count);
  void (*merge_bf16)(const uint8_t* exponents, const uint8_t* rest, uint16_t* values, size_t count);
  // fp16: the 5 exponent bits; the low 8 bits of the mantissa; its high 2 bits (0, 1) and the sign (2).
  void (*split_fp16)(const uint16_t* values, uint8_t* exponents, uint8_t* low, uint8_t* high,
                     size_t count);
  void (*merge_fp16)(const uint8_t* exponents, const uint8_t* low, const uint8_t* high,
                     uint16_t* values, size_t count);
  // limit + the integer nearest to values[i] * factor (half to even), clamped to +-limit. limit <= 127; no
  // product is NaN.
  void (*quantise)(const float* values, float factor, int limit, uint8_t* symbols, size_t count);
  // out[i] = table[symbols[i]] * scale. The table has `entries` <= 64 entries, a multiple of 16; every symbol is
  // below.
  void (*look_up)(const uint8_t* symbols, const float* table, size_t entries, float scale,
                  float* out, size_t count);
};

const SymbolOps& SymbolOpsOf(Isa isa);

}  // namespace larder
