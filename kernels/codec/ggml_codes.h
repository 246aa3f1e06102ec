// ggml's block formats: where their parts stand, and the code of one value and the value of one code, for the scalar kernels
// and their CUDA twins. std-only; device code includes it. Pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

// Values of CodecParams::variant; never reused.
enum class GgmlFormat : uint8_t {
  kQ8_0 = 0,
  kQ4_0 = 1,
  kQ4_1 = 2,
  kQ5_0 = 3,
  kQ5_1 = 4,
  kIq4Nl = 5,
};
inline constexpr size_t kGgmlFormats = 6;

// Where the parts of a format's block stand, in bytes.
struct GgmlBlock {
  unsigned bits;     // per code
  size_t bytes;      // of a block
  bool has_minimum;  // fp16 behind the scale
  size_t codes;      // offset of the codes; the plane of fifth bits stands just before them
};

inline constexpr GgmlBlock kGgmlBlocks[kGgmlFormats] = {
    {8, 34, false, 2}, {4, 18, false, 2}, {4, 20, true, 4},
    {5, 22, false, 6}, {5, 24, true, 8},  {4, 18, false, 2},
};

constexpr const GgmlBlock& BlockOf(GgmlFormat format) {
  return kGgmlBlocks[static_cast<size_t>(format)];
}

inline constexpr size_t kGgmlGroup = 32;
inline constexpr float kGgmlScaleMin = 0x1p-120f;  // below it 1 / scale may overflow

// What a format divides the range or the value of largest magnitude by.
constexpr float ScaleDivisor(GgmlFormat format) {
  constexpr float kDivisors[kGgmlFormats] = {127, -8, 15, -16, 31, -127};
  return kDivisors[static_cast<size_t>(format)];
}

// iq4_nl: what the codes mean, and the least value 2 x' + 512 of each code from 1 on, x' = x / scale.
inline constexpr std::array<int8_t, 16> kIq4NlValues = {
    -127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};
inline constexpr std::array<int16_t, 15> kIq4NlSteps = {
    281, 325, 364, 398, 428, 455, 480, 503,
                                            526, 550, 575, 603, 634, 670, 714};

// `scaled` is of a magnitude below 256.
LARDER_HOST_DEVICE inline unsigned Iq4NlCode(float scaled) {
  constexpr std::array<int16_t, 15> kSteps = kIq4NlSteps;  // device code has no namespace arrays
  const int step = static_cast<int>(scaled * 2.0f + 512.0f);
  unsigned code = 0;
  for (const int16_t least : kSteps) code += step >= least ? 1 : 0;
  return code;
}

LARDER_HOST_DEVICE inline float Iq4NlValue(unsigned code) {
  constexpr std::array<int8_t, 16> kValues = kIq4NlValues;
  return static_cast<float>(kValues[code]);
}

LARDER_HOST_DEVICE inline unsigned GgmlCodeAtMost(float scaled, int most) {
  const int code = static_cast<int>(scaled);
  return static_cast<unsigned>(code < most ? code : most);
}

// `inverse` is 1 / scale in fp32, `low` the group's least value.
LARDER_HOST_DEVICE inline unsigned GgmlCodeOf(GgmlFormat format, float value, float inverse,
                                              float low) {
  switch (format) {
    case GgmlFormat::kQ8_0: {
      const float scaled = value * inverse;
      const uint32_t sign = BitsOf(scaled) & 0x80000000u;
      // Just below a half: then truncation is to nearest, halves away from zero.
      const float half = FloatOfBits(BitsOf(0x1.fffffep-2f) | sign);
      return static_cast<uint8_t>(static_cast<int>(scaled + half));
    }
    case GgmlFormat::kQ4_0:
      return GgmlCodeAtMost(value * inverse + 8.5f, 15);
    case GgmlFormat::kQ4_1:
      return GgmlCodeAtMost((value - low) * inverse + 0.5f, 15);
    case GgmlFormat::kQ5_0:
      return GgmlCodeAtMost(value * inverse + 16.5f, 31);
    case GgmlFormat::kQ5_1:
      return GgmlCodeAtMost((value - low) * inverse + 0.5f, 31);
    case GgmlFormat::kIq4Nl:
      return Iq4NlCode(value * inverse);
  }
  return 0;
}

LARDER_HOST_DEVICE inline float GgmlValueOf(GgmlFormat format, unsigned code, float scale,
                                            float minimum) {
  switch (format) {
    case GgmlFormat::kQ8_0:
      return static_cast<float>(static_cast<int8_t>(code)) * scale;
    case GgmlFormat::kQ4_0:
      return static_cast<float>(static_cast<int>(code) - 8) * scale;
    case GgmlFormat::kQ5_0:
      return static_cast<float>(static_cast<int>(code) - 16) * scale;
    case GgmlFormat::kQ4_1:
    case GgmlFormat::kQ5_1:
      return static_cast<float>(code) * scale + minimum;
    case GgmlFormat::kIq4Nl:
      return Iq4NlValue(code) * scale;
  }
  return 0;
}

}  // namespace larder
