// The SIMD twin of vector_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/vector_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <bit>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/vector_ops.h"
#include "kernels/codec/vector_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const VectorOps& TargetVectorOps() { return VectorOpsOf(Isa::kScalar); }

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes: every count is a multiple of 16, and a sum has 32 lanes of its own.
constexpr hn::CappedTag<float, 16> kF32;
constexpr hn::RebindToUnsigned<decltype(kF32)> kU32;
[[maybe_unused]] constexpr hn::RebindToSigned<decltype(kF32)> kI32;
constexpr hn::Rebind<uint16_t, decltype(kF32)> kU16;
constexpr hn::Rebind<uint8_t, decltype(kF32)> kU8;
using F32 = hn::Vec<decltype(kF32)>;
using U32 = hn::Vec<decltype(kU32)>;

U32 MagnitudeBits(F32 value) {
  return hn::And(hn::BitCast(kU32, value), hn::Set(kU32, 0x7FFFFFFFu));
}

F32 WithSignOf(F32 magnitude, U32 sign_bits) {
  return hn::BitCast(kF32, hn::Or(hn::BitCast(kU32, magnitude), sign_bits));
}

uint32_t MaxMagnitudeBits16(const uint16_t* values, size_t count) {
  const hn::CappedTag<uint16_t, 16> d;
  const auto mask = hn::Set(d, uint16_t{0x7FFF});
  const size_t lanes = hn::Lanes(d);
  auto max = hn::Zero(d);
  for (size_t i = 0; i < count; i += lanes) {
    max = hn::Max(max, hn::And(hn::LoadU(d, values + i), mask));
  }
  HWY_ALIGN uint16_t each[16];
  hn::Store(max, d, each);
  uint32_t result = 0;
  for (size_t i = 0; i < lanes; ++i) result = HWY_MAX(result, uint32_t{each[i]});
  return result;
}

void WidenBf16(const uint16_t* values, float* out, size_t count) {
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const U32 wide = hn::PromoteTo(kU32, hn::LoadU(kU16, values + i));
    hn::StoreU(hn::BitCast(kF32, hn::ShiftLeft<16>(wide)), kF32, out + i);
  }
}

void NarrowBf16(const float* values, uint16_t* out, size_t count) {
  const U32 one = hn::Set(kU32, 1u), bias = hn::Set(kU32, 0x7FFFu);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const U32 bits = hn::BitCast(kU32, hn::LoadU(kF32, values + i));
    const U32 odd = hn::And(hn::ShiftRight<16>(bits), one);
    const U32 rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, bias), odd));
    hn::StoreU(hn::TruncateTo(kU16, rounded), kU16, out + i);
  }
}

void WidenFp16(const uint16_t* values, float* out, size_t count) {
  const U32 magnitude_mask = hn::Set(kU32, 0x7FFFu);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const U32 wide = hn::PromoteTo(kU32, hn::LoadU(kU16, values + i));
    const U32 sign = hn::ShiftLeft<31>(hn::ShiftRight<15>(wide));
    const F32 magnitude =
        hn::Mul(hn::BitCast(kF32, hn::ShiftLeft<13>(hn::And(wide, magnitude_mask))),
                hn::Set(kF32, 0x1p112f));
    hn::StoreU(WithSignOf(magnitude, sign), kF32, out + i);
  }
}

// Steps of Fp16OfFloat, Fp8E4M3OfFloat and Fp8E5M2OfFloat (number_formats.h): the magnitude of a
// narrow format from fp32 bits. kShift mantissa bits go; below the smallest normal the step is the
// ulp of kSubnormalShift.
template <int kShift>
U32 NarrowMagnitude(U32 bits, uint32_t max_bits, uint32_t normal_bits, float subnormal_shift,
                    uint32_t rebias) {
  bits = hn::Min(bits, hn::Set(kU32, max_bits));
  const F32 shift = hn::Set(kF32, subnormal_shift);
  const U32 subnormal =
      hn::Sub(hn::BitCast(kU32, hn::Add(hn::BitCast(kF32, bits), shift)), hn::BitCast(kU32, shift));
  const U32 odd = hn::And(hn::ShiftRight<kShift>(bits), hn::Set(kU32, 1u));
  const U32 rounded = hn::Add(hn::Add(bits, hn::Set(kU32, (1u << (kShift - 1)) - 1)), odd);
  const U32 normal = hn::Sub(hn::ShiftRight<kShift>(rounded), hn::Set(kU32, rebias));
  return hn::IfThenElse(hn::Lt(bits, hn::Set(kU32, normal_bits)), subnormal, normal);
}

void NarrowFp16(const float* values, uint16_t* out, size_t count) {
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const F32 value = hn::LoadU(kF32, values + i);
    const U32 sign = hn::ShiftLeft<15>(hn::ShiftRight<31>(hn::BitCast(kU32, value)));
    const U32 magnitude =
        NarrowMagnitude<13>(MagnitudeBits(value), 0x477FE000u, 0x38800000u, 0.5f, 112u << 10);
    hn::StoreU(hn::TruncateTo(kU16, hn::Or(sign, magnitude)), kU16, out + i);
  }
}

float MaxMagnitude(const float* values, size_t count) {
  U32 max = hn::Zero(kU32);  // magnitudes of finite numbers order as their bits
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    max = hn::Max(max, MagnitudeBits(hn::LoadU(kF32, values + i)));
  }
  HWY_ALIGN uint32_t each[16];
  hn::Store(max, kU32, each);
  uint32_t result = 0;
  for (size_t i = 0; i < hn::Lanes(kU32); ++i) result = HWY_MAX(result, each[i]);
  return FloatOfBits(result);
}

float Dot(const float* left, const float* right, size_t count) {
  HWY_ALIGN float lanes[32] = {};
  const size_t n = hn::Lanes(kF32);
  for (size_t begin = 0; begin < 32; begin += n) {
    F32 sum = hn::Zero(kF32);
    for (size_t i = begin; i < count; i += 32) {
      sum = hn::Add(sum, hn::Mul(hn::LoadU(kF32, left + i), hn::LoadU(kF32, right + i)));
    }
    hn::Store(sum, kF32, lanes + begin);
  }
  for (size_t half = 16; half >= n; half /= 2) {
    for (size_t lane = 0; lane < half; lane += n) {
      hn::Store(hn::Add(hn::Load(kF32, lanes + lane), hn::Load(kF32, lanes + lane + half)), kF32,
                lanes + lane);
    }
  }
  for (size_t half = HWY_MIN(n / 2, size_t{16}); half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

void Scale(float* values, size_t count, float factor) {
  const F32 by = hn::Set(kF32, factor);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    hn::StoreU(hn::Mul(hn::LoadU(kF32, values + i), by), kF32, values + i);
  }
}

void AddColumns(float* rows, size_t row_count, size_t width, const float* columns, float sign) {
  const F32 by = hn::Set(kF32, sign);
  for (size_t row = 0; row < row_count; ++row) {
    float* values = rows + row * width;
    for (size_t i = 0; i < width; i += hn::Lanes(kF32)) {
      const F32 addend = hn::Mul(by, hn::LoadU(kF32, columns + i));
      hn::StoreU(hn::Add(hn::LoadU(kF32, values + i), addend), kF32, values + i);
    }
  }
}

void SumColumns(const float* rows, size_t row_count, size_t width, float* sums) {
  for (size_t i = 0; i < width; i += hn::Lanes(kF32)) {
    F32 sum = hn::LoadU(kF32, sums + i);
    for (size_t row = 0; row < row_count; ++row) {
      sum = hn::Add(sum, hn::LoadU(kF32, rows + row * width + i));
    }
    hn::StoreU(sum, kF32, sums + i);
  }
}

void TurnInterleaved(float* row, const float* cosines, const float* sines, size_t pairs) {
  // At most 8 lanes, as `pairs` is a multiple of 8.
  const hn::CappedTag<float, 8> d;
  for (size_t pair = 0; pair < pairs; pair += hn::Lanes(d)) {
    hn::Vec<decltype(d)> x, y;
    hn::LoadInterleaved2(d, row + 2 * pair, x, y);
    const auto cosine = hn::LoadU(d, cosines + pair), sine = hn::LoadU(d, sines + pair);
    hn::StoreInterleaved2(hn::Sub(hn::Mul(x, cosine), hn::Mul(y, sine)),
                          hn::Add(hn::Mul(x, sine), hn::Mul(y, cosine)), d, row + 2 * pair);
  }
}

template <class D>
void TurnHalves(D d, float* row, const float* cosines, const float* sines, size_t pairs) {
  for (size_t pair = 0; pair < pairs; pair += hn::Lanes(d)) {
    const auto x = hn::LoadU(d, row + pair), y = hn::LoadU(d, row + pairs + pair);
    const auto cosine = hn::LoadU(d, cosines + pair), sine = hn::LoadU(d, sines + pair);
    hn::StoreU(hn::Sub(hn::Mul(x, cosine), hn::Mul(y, sine)), d, row + pair);
    hn::StoreU(hn::Add(hn::Mul(x, sine), hn::Mul(y, cosine)), d, row + pairs + pair);
  }
}

void TurnPairs(float* row, const float* cosines, const float* sines, size_t pairs,
               bool interleaved) {
  if (interleaved) return TurnInterleaved(row, cosines, sines, pairs);
  if (pairs % hn::Lanes(kF32) == 0) return TurnHalves(kF32, row, cosines, sines, pairs);
  TurnHalves(hn::CappedTag<float, 8>(), row, cosines, sines, pairs);
}

void FlipSigns(float* values, const uint32_t* signs, size_t count) {
  const size_t lanes = hn::Lanes(kF32);
  const U32 sign_bit = hn::Set(kU32, 0x80000000u);
  const U32 lane = hn::Iota(kU32, 0u);
  for (size_t i = 0; i < count; i += lanes) {
    const U32 word = hn::Set(kU32, signs[i / 32] >> (i % 32));
    const U32 flip = hn::And(hn::ShiftLeft<31>(hn::Shr(word, lane)), sign_bit);
    const U32 bits = hn::BitCast(kU32, hn::LoadU(kF32, values + i));
    hn::StoreU(hn::BitCast(kF32, hn::Xor(bits, flip)), kF32, values + i);
  }
}

// One butterfly within a vector: `partner` holds, in each lane, the value at the lane's index with
// bit kHalf flipped. Lanes with the bit set become partner - value.
template <unsigned kHalf>
F32 Butterfly(F32 value, F32 partner) {
  const U32 upper = hn::And(hn::Iota(kU32, 0u), hn::Set(kU32, kHalf));
  const U32 sign = hn::ShiftLeft<31 - std::countr_zero(kHalf)>(upper);
  return hn::Add(partner, hn::BitCast(kF32, hn::Xor(hn::BitCast(kU32, value), sign)));
}

F32 HadamardWithin(F32 value) {
  value = Butterfly<1>(value, hn::Shuffle2301(value));
  value = Butterfly<2>(value, hn::Shuffle1032(value));
  if constexpr (hn::MaxLanes(kF32) >= 8) {
    value = Butterfly<4>(value, hn::SwapAdjacentBlocks(value));
  }
  if constexpr (hn::MaxLanes(kF32) >= 16) {
    value = Butterfly<8>(value, hn::ConcatLowerUpper(kF32, value, value));
  }
  return value;
}

void Hadamard(float* values, size_t count) {
  const size_t lanes = hn::Lanes(kF32);
  for (size_t i = 0; i < count; i += lanes) {
    hn::StoreU(HadamardWithin(hn::LoadU(kF32, values + i)), kF32, values + i);
  }
  for (size_t half = lanes; half < count; half *= 2) {
    for (size_t begin = 0; begin < count; begin += 2 * half) {
      for (size_t i = begin; i < begin + half; i += lanes) {
        const F32 x = hn::LoadU(kF32, values + i), y = hn::LoadU(kF32, values + i + half);
        hn::StoreU(hn::Add(x, y), kF32, values + i);
        hn::StoreU(hn::Sub(x, y), kF32, values + i + half);
      }
    }
  }
}

template <int kShift>
void EncodeFp8(const float* values, float factor, uint8_t* out, size_t count, uint32_t max_bits,
               uint32_t normal_bits, float subnormal_shift, uint32_t rebias) {
  const F32 by = hn::Set(kF32, factor);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const F32 value = hn::Mul(hn::LoadU(kF32, values + i), by);
    const U32 sign = hn::ShiftLeft<7>(hn::ShiftRight<31>(hn::BitCast(kU32, value)));
    const U32 magnitude = NarrowMagnitude<kShift>(MagnitudeBits(value), max_bits, normal_bits,
                                                  subnormal_shift, rebias);
    hn::StoreU(hn::TruncateTo(kU8, hn::Or(sign, magnitude)), kU8, out + i);
  }
}

void EncodeE4M3(const float* values, float factor, uint8_t* out, size_t count) {
  EncodeFp8<20>(values, factor, out, count, 0x43E00000u, 0x3C800000u, 0x1p14f, 120u << 3);
}

void EncodeE5M2(const float* values, float factor, uint8_t* out, size_t count) {
  EncodeFp8<21>(values, factor, out, count, 0x47600000u, 0x38800000u, 0x1p7f, 112u << 2);
}

template <int kShift>
void DecodeFp8(const uint8_t* codes, float scale, float* out, size_t count, float unbias) {
  const F32 by = hn::Set(kF32, scale), up = hn::Set(kF32, unbias);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const U32 wide = hn::PromoteTo(kU32, hn::LoadU(kU8, codes + i));
    const U32 sign = hn::ShiftLeft<31>(hn::ShiftRight<7>(wide));
    const U32 magnitude = hn::ShiftLeft<kShift>(hn::And(wide, hn::Set(kU32, 0x7Fu)));
    const F32 value = WithSignOf(hn::Mul(hn::BitCast(kF32, magnitude), up), sign);
    hn::StoreU(hn::Mul(value, by), kF32, out + i);
  }
}

void DecodeE4M3(const uint8_t* codes, float scale, float* out, size_t count) {
  DecodeFp8<20>(codes, scale, out, count, 0x1p120f);
}

void DecodeE5M2(const uint8_t* codes, float scale, float* out, size_t count) {
  DecodeFp8<21>(codes, scale, out, count, 0x1p112f);
}

}  // namespace

const VectorOps& TargetVectorOps() {
  static constexpr VectorOps kOps = {
      .max_magnitude_bits16 = MaxMagnitudeBits16,
      .widen_bf16 = WidenBf16,
      .narrow_bf16 = NarrowBf16,
      .widen_fp16 = WidenFp16,
      .narrow_fp16 = NarrowFp16,
      .max_magnitude = MaxMagnitude,
      .dot = Dot,
      .scale = Scale,
      .add_columns = AddColumns,
      .sum_columns = SumColumns,
      .turn_pairs = TurnPairs,
      .flip_signs = FlipSigns,
      .hadamard = Hadamard,
      .encode_e4m3 = EncodeE4M3,
      .decode_e4m3 = DecodeE4M3,
      .encode_e5m2 = EncodeE5M2,
      .decode_e5m2 = DecodeE5M2,
  };
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetVectorOps);

const VectorOps& SimdVectorOps() { return HWY_DYNAMIC_DISPATCH(TargetVectorOps)(); }

}  // namespace larder
#endif
