// Scalar conversions between fp32 and the 16-bit and 8-bit floating-point formats of KV caches.
//
// Every function is exact IEEE arithmetic (round half to even), so that host, SIMD and device code
// produce the same bits; the SIMD and CUDA twins repeat the same steps. Needs a build without FMA
// contraction, fast-math or flush-to-zero. std-only; device code includes it. Pure functions.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__CUDACC__)
#define LARDER_HOST_DEVICE __host__ __device__
#else
#define LARDER_HOST_DEVICE
#endif

namespace larder {

inline constexpr float kFp16Max = 65'504.0f;
inline constexpr float kFp8E4M3Max = 448.0f;
inline constexpr float kFp8E5M2Max = 57'344.0f;
inline constexpr uint32_t kBf16Infinity = 0x7F80;  // magnitudes from here on are not finite
inline constexpr uint32_t kFp16Infinity = 0x7C00;

LARDER_HOST_DEVICE inline uint32_t BitsOf(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  return std::bit_cast<uint32_t>(value);
#endif
}

LARDER_HOST_DEVICE inline float FloatOfBits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}

LARDER_HOST_DEVICE inline float FloatOfBf16(uint16_t value) {
  return FloatOfBits(uint32_t{value} << 16);
}

// `value` is finite; a magnitude beyond the largest bf16 rounds to infinity.
LARDER_HOST_DEVICE inline uint16_t Bf16OfFloat(float value) {
  const uint32_t bits = BitsOf(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16);
}

// `value` is finite.
LARDER_HOST_DEVICE inline float FloatOfFp16(uint16_t value) {
  const uint32_t sign = uint32_t{value} >> 15 << 31;
  const float magnitude = FloatOfBits((uint32_t{value} & 0x7FFF) << 13) * 0x1p112f;
  return FloatOfBits(BitsOf(magnitude) | sign);
}

// `value` is finite; magnitudes above 65504 become 65504.
LARDER_HOST_DEVICE inline uint16_t Fp16OfFloat(float value) {
  const uint32_t sign = (BitsOf(value) >> 31) << 15;
  uint32_t bits = BitsOf(value) & 0x7FFFFFFF;
  if (bits > 0x477FE000) bits = 0x477FE000;  // 65504
  if (bits < 0x38800000) {                   // below 2^-14: the step is 2^-24, the ulp of 0.5
    const float shifted = FloatOfBits(bits) + 0.5f;
    return static_cast<uint16_t>(sign | (BitsOf(shifted) - BitsOf(0.5f)));
  }
  const uint32_t rounded = bits + 0xFFFu + ((bits >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

// FP8 E4M3FN: bias 7, largest 448, no infinity; magnitudes above 448 become 448. `value` is finite.
LARDER_HOST_DEVICE inline uint8_t Fp8E4M3OfFloat(float value) {
  const uint32_t sign = (BitsOf(value) >> 31) << 7;
  uint32_t bits = BitsOf(value) & 0x7FFFFFFF;
  if (bits > 0x43E00000) bits = 0x43E00000;  // 448
  if (bits < 0x3C800000) {                   // below 2^-6: the step is 2^-9, the ulp of 2^14
    const float shifted = FloatOfBits(bits) + 0x1p14f;
    return static_cast<uint8_t>(sign | (BitsOf(shifted) - BitsOf(0x1p14f)));
  }
  const uint32_t rounded = bits + 0x7FFFFu + ((bits >> 20) & 1);
  return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

// The two NaN codes, which no encoder writes, decode as 480.
LARDER_HOST_DEVICE inline float FloatOfFp8E4M3(uint8_t value) {
  const uint32_t sign = uint32_t{value} >> 7 << 31;
  const float magnitude = FloatOfBits((uint32_t{value} & 0x7F) << 20) * 0x1p120f;
  return FloatOfBits(BitsOf(magnitude) | sign);
}

// FP8 E5M2: bias 15, largest finite 57344; magnitudes above become 57344. `value` is finite.
LARDER_HOST_DEVICE inline uint8_t Fp8E5M2OfFloat(float value) {
  const uint32_t sign = (BitsOf(value) >> 31) << 7;
  uint32_t bits = BitsOf(value) & 0x7FFFFFFF;
  if (bits > 0x47600000) bits = 0x47600000;  // 57344
  if (bits < 0x38800000) {                   // below 2^-14: the step is 2^-16, the ulp of 2^7
    const float shifted = FloatOfBits(bits) + 0x1p7f;
    return static_cast<uint8_t>(sign | (BitsOf(shifted) - BitsOf(0x1p7f)));
  }
  const uint32_t rounded = bits + 0xFFFFFu + ((bits >> 21) & 1);
  return static_cast<uint8_t>(sign | ((rounded >> 21) - (112u << 2)));
}

// Infinity and NaN codes, which no encoder writes, decode as 65536 and more.
LARDER_HOST_DEVICE inline float FloatOfFp8E5M2(uint8_t value) {
  const uint32_t sign = uint32_t{value} >> 7 << 31;
  const float magnitude = FloatOfBits((uint32_t{value} & 0x7F) << 21) * 0x1p112f;
  return FloatOfBits(BitsOf(magnitude) | sign);
}

}  // namespace larder
