// The kernels of affine codes (a step and a minimum per group), in two forms that give the same
// bytes: plain C++ (the oracle) and Highway SIMD with run-time dispatch.
//
// Columns: a group is the rows of one call, for each channel by itself. Rows: a group is `group`
// channels of a row, the last one of a row what is left; results stand [row][group]. `width` and
// `group` are multiples of 16, rows at most kElementRowsMax. Packed words need no alignment.
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/element_rows.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

// Of each group: code = rne(min(max((x - minima) * inverses, 0), levels)).
struct AffineSteps {
  const float* minima;
  const float* inverses;
  const float* levels;
};

// u32 words that hold the codes of a column, [word][channel]. 2, 4 and 8 bits: code i of the column at
// bit (i * bits) % 32 of word i * bits / 32. 3 bits: a word per bit, lowest first, for each 32 codes.
// What is left of a last word is 0.
constexpr size_t ColumnWords(size_t rows, unsigned bits) {
  return bits == 3 ? (rows + 31) / 32 * 3 : (rows * bits + 31) / 32;
}

struct AffineOps {
  // Least and greatest value of each group; false when a value is not finite.
  bool (*column_ranges)(const SourceElements& source, size_t rows, size_t width, float* lows,
                        float* highs);
  bool (*row_ranges)(const SourceElements& source, size_t rows, size_t width, size_t group,
                     float* lows, float* highs);
  // Sum of the magnitudes of each column, added in the order of the rows.
  void (*column_magnitudes)(const SourceElements& source, size_t rows, size_t width, float* sums);
  // scales[i] = fp16((highs[i] - lows[i]) / levels[i]), minima[i] = fp16(lows[i]). lows[i] becomes
  // the minimum as stored, highs[i] 1 / scale as stored, or 0 for a scale of 0. `count` is a multiple
  // of 16. False when one is beyond fp16.
  bool (*store_scales)(float* lows, float* highs, const float* levels, size_t count,
                       uint16_t* scales, uint16_t* minima);
  // Words of the codes' low `bits` bits; with 2 bits and `above` not null, there words of the next 2.
  void (*quantise_columns)(const SourceElements& source, size_t rows, size_t width,
                           const AffineSteps& steps, unsigned bits, uint8_t* words, uint8_t* above);
  void (*dequantise_columns)(const uint8_t* words, const uint8_t* above, unsigned bits, size_t rows,
                             size_t width, const float* scales, const float* minima,
                             const TargetElements& target);
  // codes[row][channel]; every group has the level of the first.
  void (*quantise_rows)(const SourceElements& source, size_t rows, size_t width, size_t group,
                        const AffineSteps& steps, uint8_t* codes);
  void (*dequantise_rows)(const uint8_t* codes, size_t rows, size_t width, size_t group,
                          const float* scales, const float* minima, const TargetElements& target);
};

// The kernels for elements of this type.
const AffineOps& AffineOpsOf(Isa isa, ElementType type);

}  // namespace larder
