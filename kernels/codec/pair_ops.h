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

#include "kernels/codec/vector_ops.h"

namespace larder {

inline constexpr float kArctangent[] = {0.999999225f,  -0.333256781f,  0.198720396f,  -0.134478644f,
                                        0.0831264555f, -0.0363604315f, 0.00764835393f};
inline constexpr float kCosine[] = {-1.0f / 2, 1.0f / 24, -1.0f / 720, 1.0f / 40320};
inline constexpr float kSine[] = {-1.0f / 6, 1.0f / 120, -1.0f / 5040};
inline constexpr float kQuarterTurn = 1.57079637f;
inline constexpr float kHalfTurn = 3.14159274f;
inline constexpr float kWholeTurn = 6.28318548f;
inline constexpr float kQuartersPerRadian = 0.636619747f;

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
