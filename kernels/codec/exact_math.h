// Operations on fp32 that round once, alike on host and device. std-only; device code includes it. Pure functions.
#pragma once

#include <cmath>

#include "kernels/codec/number_formats.h"

namespace larder {

LARDER_HOST_DEVICE inline float SqrtOf(float value) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(value);
#else
  return std::sqrt(value);
#endif
}

LARDER_HOST_DEVICE inline float MagnitudeOf(float value) {
  return FloatOfBits(BitsOf(value) & 0x7FFFFFFFu);
}

}  // namespace larder
