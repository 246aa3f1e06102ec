// The scale of a row of Lloyd-Max codes, for the quantiser and its CUDA twin. std-only; device code includes it. Pure functions.
#pragma once

#include <cstdint>

#include "kernels/codec/exact_math.h"

namespace larder {

inline constexpr uint8_t kTurboUnbiased = 0;  // CodecParams::variant
inline constexpr uint8_t kTurboPlain = 1;
inline constexpr uint8_t kTurboNormed = 2;

struct CodedRow {
  float energy;   // |y|^2
  float rms;      // sqrt(energy / dim)
  float product;  // <y, c>, c the codebook's values of y's codes
};

// Not finite, or beyond fp16, when it can not be stored. `code_energy` is <c, c>, for kTurboNormed.
LARDER_HOST_DEVICE inline float TurboScaleOf(const CodedRow& coded, uint8_t variant,
                                             float code_energy) {
  if (!(coded.rms > 0)) return coded.energy;  // 0, or not a number
  if (variant == kTurboPlain) return coded.rms;
  if (variant == kTurboNormed) return SqrtOf(coded.energy / code_energy);
  return coded.energy / coded.product;
}

}  // namespace larder
