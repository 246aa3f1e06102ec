// The scale of an FP8 tile, for the quantiser and its CUDA twin. std-only; device code includes it. Pure functions.
#pragma once

#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

inline constexpr uint8_t kFp8E5M2 = 1;  // bits of CodecParams::variant
inline constexpr uint8_t kFp8PowerOfTwo = 2;
inline constexpr uint32_t kFp8ScaleBytes = 16;  // the codes behind the scale stay aligned

// Not finite when `max_magnitude` is not.
LARDER_HOST_DEVICE inline float Fp8ScaleOf(float max_magnitude, uint8_t variant) {
  const float largest = (variant & kFp8E5M2) != 0 ? kFp8E5M2Max : kFp8E4M3Max;
  float scale = max_magnitude / largest;
  // Below this 1 / scale would overflow; values that small are far below any format's step.
  constexpr float kScaleMin = 0x1p-120f;
  if (scale < kScaleMin) scale = kScaleMin;
  if ((variant & kFp8PowerOfTwo) == 0) return scale;
  const uint32_t bits = BitsOf(scale);
  return FloatOfBits((bits + 0x7FFFFFu) & 0x7F800000u);
}

// Whether a tile may have this scale; encoders refuse others, decoders take them for 0, so that NaN, whose bits
// depend on the machine, never come up. A finite one; before a transform, which adds values up, from 0 to 2^96: no sum
// overflows on the way back.
LARDER_HOST_DEVICE inline bool Fp8ScaleHolds(uint8_t transform, float scale) {
  if (transform == 0) return (BitsOf(scale) & 0x7FFFFFFFu) < 0x7F800000u;
  return scale >= 0 && scale <= 0x1p96f;
}

}  // namespace larder
