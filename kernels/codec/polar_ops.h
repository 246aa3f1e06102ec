// Pairs of numbers to radii and angle codes and back; scalar and SIMD forms give the same bits
// (vector_ops.h has the rules of the arithmetic).
//
// A pair (x, y) has the radius sqrt(x x + y y). Its angle within the quadrant, that of (|x|, |y|), is
// coded as k, the number of thresholds t with |y| >= t |x|: no angle is ever computed. A book of the
// whole circle adds the sign bits: code = k + 2^(bits - 2) sign(x) + 2^(bits - 1) sign(y). Pairs stand
// side by side, one code per byte. Pointers need no alignment, counts no multiple. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/polar_book.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

struct PolarOps {
  void (*split)(const float* pairs, size_t count, const AngleBook& book, float* radii,
                uint8_t* codes);
  // (radius cosine, radius sine) with the signs. Codes are below 2^bits.
  void (*join)(const float* radii, const uint8_t* codes, size_t count, const AngleBook& book,
               float* pairs);
};

const PolarOps& PolarOpsOf(Isa isa);

}  // namespace larder
