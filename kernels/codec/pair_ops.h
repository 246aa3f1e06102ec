// Pairs (x, y) = (row[j], row[j + pairs]) to radii and angles, to codes of 4 bits each, and back; scalar
// and SIMD forms give the same bits (vector_ops.h has the rules of the arithmetic).
//
// Angles are in radians by fixed polynomials, within 1e-6 of the true ones:
//   angle   t = min(|x|, |y|) / max(|x|, |y|), 0 for (0, 0); a = t P(t t), P by Horner's rule over
//           kArctangent; pi/2 - a where |y| > |x|; then pi - a where x < 0; then 2 pi - a where y < 0.
//   cosine  q = trunc(angle * (2/pi) + 1/2); r = angle - q (pi/2); s = r r; by Horner's rule the cosine is
//           1 + s C(s), the sine r + r (s S(s)); swapped and negated as the quarter q says.
// `pairs` is a multiple of 8. Pointers need no alignment. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/pair_codes.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

// Per pair: the least radius and angle of a group of rows, and the width of their bins.
struct PairRanges {
  const float* radius_least = nullptr;
  const float* radius_step = nullptr;
  const float* angle_least = nullptr;
  const float* angle_step = nullptr;
};

struct PairOps {
  // Of one row of 2 `pairs` values; sqrt(x x + y y).
  void (*split)(const float* row, size_t pairs, float* radii, float* angles);
  // Least and largest value of each column of [count][pairs]; count is not 0.
  void (*range)(const float* values, size_t count, size_t pairs, float* least, float* largest);
  // Adds a turn to the angles below half a turn in each column of [count][pairs] that this makes
  // narrower, so that angles around 0 need no whole circle of bins.
  void (*unwrap)(float* angles, size_t count, size_t pairs);
  // codes[j] = radius code * 16 + angle code; a code is the whole part of
  // (value - least) * (1 / step), or of 0 where the step is 0, kept within 0 to 15.
  void (*encode)(const float* radii, const float* angles, size_t pairs, const PairRanges& ranges,
                 uint8_t* codes);
  // The values in the middle of their bins: least + (code + 1/2) * step; and the row of them.
  void (*decode)(const uint8_t* codes, size_t pairs, const PairRanges& ranges, float* row);
};

const PairOps& PairOpsOf(Isa isa);

}  // namespace larder
