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

// A format of 8 bits: sign, exponent, `kMantissa` bits of mantissa; `kMaxBits` is its largest value as fp32.
template <unsigned kMantissa, unsigned kBias, uint32_t kMaxBits>
struct ByteFloat {
  // Magnitudes beyond the largest become that. `value` is finite.
  LARDER_HOST_DEVICE static uint8_t OfFloat(float value) {
    constexpr unsigned kShift = 23 - kMantissa;
    const uint32_t sign = (BitsOf(value) >> 31) << 7;
    uint32_t bits = BitsOf(value) & 0x7FFFFFFF;
    if (bits > kMaxBits) bits = kMaxBits;
    if (bits < (128 - kBias) << 23) {  // subnormal: one step is the ulp of this power of two
      const float power = FloatOfBits((151 - kBias - kMantissa) << 23);
      const float shifted = FloatOfBits(bits) + power;
      return static_cast<uint8_t>(sign | (BitsOf(shifted) - BitsOf(power)));
    }
    const uint32_t rounded = bits + ((1u << (kShift - 1)) - 1) + ((bits >> kShift) & 1);
    return static_cast<uint8_t>(sign | ((rounded >> kShift) - ((127 - kBias) << kMantissa)));
  }
  LARDER_HOST_DEVICE static float ToFloat(uint8_t value) {
    const uint32_t sign = uint32_t{value} >> 7 << 31;
    const float magnitude = FloatOfBits((uint32_t{value} & 0x7F) << (23 - kMantissa)) *
                            FloatOfBits((254 - kBias) << 23);
    return FloatOfBits(BitsOf(magnitude) | sign);
  }
};

// No infinity. The two NaN codes, which no encoder writes, decode as 480.
using Fp8E4M3 = ByteFloat<3, 7, 0x43E00000>;
// Infinity and NaN codes, which no encoder writes, decode as 65536 and more.
using Fp8E5M2 = ByteFloat<2, 15, 0x47600000>;

LARDER_HOST_DEVICE inline uint8_t Fp8E4M3OfFloat(float value) { return Fp8E4M3::OfFloat(value); }
LARDER_HOST_DEVICE inline float FloatOfFp8E4M3(uint8_t value) { return Fp8E4M3::ToFloat(value); }
LARDER_HOST_DEVICE inline uint8_t Fp8E5M2OfFloat(float value) { return Fp8E5M2::OfFloat(value); }
LARDER_HOST_DEVICE inline float FloatOfFp8E5M2(uint8_t value) { return Fp8E5M2::ToFloat(value); }

}  // namespace larder
