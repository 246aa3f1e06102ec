// Pairs of numbers to radii and angle codes and back; scalar and SIMD forms give the same bits
// (vector_ops.h has the rules of the arithmetic).
//
// A pair (x, y) has the radius sqrt(x x + y y). Its angle within the quadrant, that of (|x|, |y|), is
// coded as k, the number of thresholds t with |y| >= t |x|: no angle is ever computed. A book of the
// whole circle adds the sign bits: code = k + 2^(bits - 2) sign(x) + 2^(bits - 1) sign(y). Pairs stand
// side by side, one code per byte. Pointers need no alignment, counts no multiple. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/codec/vector_ops.h"

namespace larder {

struct AngleBook {
  unsigned bits = 0;
  bool whole_circle = false;
  unsigned bins = 0;                // of a quadrant: 2, 4 or 8
  std::array<float, 7> tangents{};  // bins - 1 thresholds, ascending
  std::array<float, 16> cosines{};  // of each bin's angle
  std::array<float, 16> sines{};
};

// `tangents` and `cosines` of bins that mirror each other about pi/4.
constexpr AngleBook MakeAngleBook(bool whole_circle, unsigned bins, std::array<float, 7> tangents,
                                  std::array<float, 8> cosines) {
  AngleBook book{bins == 2 ? 1u : bins == 4 ? 2u : 3u, whole_circle, bins, tangents, {}, {}};
  if (whole_circle) book.bits += 2;
  for (unsigned k = 0; k < bins; ++k) {
    book.cosines[k] = cosines[k];
    book.sines[k] = cosines[bins - 1 - k];
  }
  return book;
}

struct PolarOps {
  void (*split)(const float* pairs, size_t count, const AngleBook& book, float* radii,
                uint8_t* codes);
  // (radius cosine, radius sine) with the signs. Codes are below 2^bits.
  void (*join)(const float* radii, const uint8_t* codes, size_t count, const AngleBook& book,
               float* pairs);
};

const PolarOps& PolarOpsOf(Isa isa);

}  // namespace larder
