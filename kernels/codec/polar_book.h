// Angle codes of pairs of numbers, for the polar kernels and their CUDA twins (polar_ops.h says what they mean). std-only; device
// code includes it. Pure functions.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/codec/exact_math.h"

namespace larder {

inline constexpr uint32_t kPolarLevels = 4;

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

LARDER_HOST_DEVICE inline float PolarRadiusOf(float x, float y) {
  const float width = MagnitudeOf(x), height = MagnitudeOf(y);
  return SqrtOf(width * width + height * height);
}

LARDER_HOST_DEVICE inline uint8_t PolarCodeOf(const AngleBook& book, float x, float y) {
  const float width = MagnitudeOf(x), height = MagnitudeOf(y);
  unsigned code = 0;
  for (unsigned k = 0; k + 1 < book.bins; ++k) code += height >= book.tangents[k] * width ? 1 : 0;
  if (book.whole_circle) {
    code += (BitsOf(x) >> 31) * book.bins + (BitsOf(y) >> 31) * 2 * book.bins;
  }
  return static_cast<uint8_t>(code);
}

// `code` is below 2^bits.
LARDER_HOST_DEVICE inline void PolarPairOf(const AngleBook& book, float radius, unsigned code,
                                           float* x, float* y) {
  const unsigned k = code & (book.bins - 1);
  const float width = radius * book.cosines[k], height = radius * book.sines[k];
  *x = (code & book.bins) != 0 ? -width : width;
  *y = (code & (2 * book.bins)) != 0 ? -height : height;
}

}  // namespace larder
