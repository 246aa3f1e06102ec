// The arithmetic of one affine group and one affine code, for the scalar kernels and their CUDA twins. std-only; device code
// includes it. Pure functions.
#pragma once

#include <cstdint>

#include "kernels/codec/exact_math.h"

namespace larder {

// Values of CodecParams::variant.
inline constexpr uint8_t kAffineTokens = 0;
inline constexpr uint8_t kAffineChannels = 1;

// Of a group, as stored and as codes are made with it.
struct AffineStep {
  uint16_t scale16 = 0;
  uint16_t minimum16 = 0;
  float minimum = 0;  // as stored
  float inverse = 0;  // 1 / scale as stored, or 0 for a scale of 0
};

// False when the scale or the minimum is beyond fp16.
LARDER_HOST_DEVICE inline bool AffineStepOf(float low, float high, float level, AffineStep* step) {
  const float range = high - low + 0.0f;  // -0 becomes 0
  const float scale = range / level;
  const float minimum = low + 0.0f;
  if (!(scale <= kFp16Max) || !(MagnitudeOf(minimum) <= kFp16Max)) return false;
  step->scale16 = Fp16OfFloat(scale);
  step->minimum16 = Fp16OfFloat(minimum);
  step->minimum = FloatOfFp16(step->minimum16);
  step->inverse = step->scale16 == 0 ? 0.0f : 1.0f / FloatOfFp16(step->scale16);
  return true;
}

LARDER_HOST_DEVICE inline uint32_t AffineCodeOf(float value, float minimum, float inverse,
                                                float level) {
  const float scaled = (value - minimum) * inverse;
  const float positive = scaled < 0.0f ? 0.0f : scaled;
  const float clamped = level < positive ? level : positive;
  return BitsOf(clamped + 0x1p23f) & 0xFF;  // to an integer, half to even
}

}  // namespace larder
