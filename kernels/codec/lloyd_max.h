// Lloyd-Max codebooks of 1 to 4 bits for N(0, 1), and the code of a value.
//
// Codes ascend with the value; the code's highest bit is the value's sign bit inverted. With a the
// magnitude and k the number of thresholds at most a, out of 2^(bits - 1) - 1: code = 2^(bits - 1) + k
// for values without a sign bit, 2^(bits - 1) - 1 - k for those with one (so -0 is a negative value).
// Distortion of N(0, 1): 0.36338, 0.11748, 0.03455, 0.00950.
// Source: Max (1960), Lloyd (1982); fixed point of the centroid condition in double, to fp32.
// std-only; device code includes it.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

struct Codebook {
  unsigned bits = 0;
  std::array<float, 16> values{};     // by code; beyond 2^bits the last value again
  std::array<float, 8> magnitudes{};  // by k
  std::array<float, 7> thresholds{};  // the first 2^(bits - 1) - 1 count
};

constexpr Codebook MakeCodebook(unsigned bits, std::array<float, 8> magnitudes,
                                std::array<float, 7> thresholds) {
  Codebook book{bits, {}, magnitudes, thresholds};
  const unsigned half = 1u << (bits - 1);
  for (unsigned code = 0; code < 16; ++code) {
    const unsigned at = code < 2 * half ? code : 2 * half - 1;
    book.values[code] = at < half ? -magnitudes[half - 1 - at] : magnitudes[at - half];
  }
  return book;
}

// By bits - 1.
inline constexpr Codebook kLloydMax[] = {
    MakeCodebook(1, {0.797884583f}, {}),
    MakeCodebook(2, {0.452780038f, 1.51041758f}, {0.981598794f}),
    MakeCodebook(3, {0.24509418f, 0.756005287f, 1.34390926f, 2.15194559f},
                 {0.500549734f, 1.04995728f, 1.74792755f}),
    MakeCodebook(4,
                 {0.128395036f, 0.388048291f, 0.656759143f, 0.942340434f, 1.25623119f, 1.6180464f,
                  2.06901717f, 2.73258948f},
                 {0.258221656f, 0.522403717f, 0.799549758f, 1.09928584f, 1.4371388f, 1.84353185f,
                  2.40080333f}),
};

LARDER_HOST_DEVICE inline uint8_t CodeOf(const Codebook& book, float value) {
  const unsigned half = 1u << (book.bits - 1);
  const float magnitude = FloatOfBits(BitsOf(value) & 0x7FFFFFFFu);
  unsigned code = half;
  for (unsigned i = 0; i + 1 < half; ++i) code += magnitude >= book.thresholds[i] ? 1 : 0;
  return static_cast<uint8_t>((BitsOf(value) >> 31) != 0 ? 2 * half - 1 - code : code);
}

}  // namespace larder
