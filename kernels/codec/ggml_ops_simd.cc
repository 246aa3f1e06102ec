// The SIMD twin of ggml_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/ggml_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <cstring>

#include "kernels/codec/ggml_ops.h"
#include "kernels/codec/ggml_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const GgmlOps& TargetGgmlOps() { return GgmlOpsOf(Isa::kScalar); }

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;
#include "kernels/codec/element_rows_simd.inc"
#include "kernels/codec/ggml_ranges_simd.inc"

bool Scales(GgmlFormat format, const float* lows, const float* highs, float* scales) {
  const F32 divisor = hn::Set(kF32, ScaleDivisor(format)), zero = hn::Zero(kF32);
  bool tie = false;
  for (size_t i = 0; i < kGgmlBatch; i += hn::Lanes(kF32)) {
    const F32 low = hn::LoadU(kF32, lows + i), high = hn::LoadU(kF32, highs + i);
    const F32 opposite = hn::Neg(low);
    F32 range;
    if (BlockOf(format).has_minimum) {
      range = hn::Sub(high, low);
    } else if (format == GgmlFormat::kQ8_0) {
      range = hn::BitCast(kF32, MagnitudeBits(hn::Max(high, opposite)));  // no -0
    } else {
      range = hn::IfThenElse(hn::Ge(high, opposite), high, low);
      tie |= !hn::AllFalse(kF32, hn::And(hn::Eq(high, opposite), hn::Ne(high, zero)));
    }
    hn::StoreU(hn::Div(range, divisor), kF32, scales + i);
  }
  return tie;
}

bool StoreScales(const float* scales, uint16_t* stored, float* inverses) {
  U32 greatest = hn::Zero(kU32);
  for (size_t i = 0; i < kGgmlBatch; i += hn::Lanes(kF32)) {
    const F32 scale = hn::LoadU(kF32, scales + i);
    const U32 magnitude = MagnitudeBits(scale);
    greatest = hn::Max(greatest, magnitude);
    hn::StoreU(hn::TruncateTo(kU16, NarrowFp16(scale)), kU16, stored + i);
    const auto large = hn::Ge(hn::BitCast(kF32, magnitude), hn::Set(kF32, kGgmlScaleMin));
    hn::StoreU(hn::IfThenElseZero(large, hn::Div(hn::Set(kF32, 1.0f), scale)), kF32, inverses + i);
  }
  return AllBelow(greatest, BitsOf(kFp16Max) + 1);
}

// The sum, over the steps of kIq4NlSteps that are reached, of what `gains` has for them.
template <typename Gain>
HWY_INLINE I32 Iq4NlSum(F32 scaled, int32_t start, Gain gain) {
  const I32 step =
      hn::ConvertTo(kI32, hn::Add(hn::Mul(scaled, hn::Set(kF32, 2.0f)), hn::Set(kF32, 512.0f)));
  I32 sum = hn::Set(kI32, start);
  for (int code = 0; code < 15; ++code) {
    const auto reached = hn::Gt(step, hn::Set(kI32, kIq4NlSteps[code] - 1));
    sum = hn::Add(sum, hn::IfThenElseZero(reached, hn::Set(kI32, gain(code))));
  }
  return sum;
}

int32_t OneMore(int) { return 1; }
int32_t NextValue(int code) { return kIq4NlValues[code + 1] - kIq4NlValues[code]; }

float TreeSum(float* lanes) {
  for (size_t half = 16; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

template <class Elements>
void FitIq4NlOf(const SourceElements& halves, size_t groups, const float* inverses,
                float* factors) {
  for (size_t group = 0; group < groups; ++group) {
    const F32 inverse = hn::Set(kF32, inverses[group]);
    HWY_ALIGN float above[kGgmlGroup], below[kGgmlGroup];
    for (size_t i = 0; i < kGgmlGroup; i += hn::Lanes(kF32)) {
      const auto* half = HalfOf<Elements>(halves, 2 * group + i / kPiece);
      const F32 scaled = hn::Mul(Elements::Load(half + i % kPiece), inverse);
      const F32 value = hn::ConvertTo(kF32, Iq4NlSum(scaled, kIq4NlValues[0], NextValue));
      const F32 weighted = hn::Mul(hn::Mul(scaled, scaled), value);
      hn::Store(hn::Mul(weighted, scaled), kF32, above + i);
      hn::Store(hn::Mul(weighted, value), kF32, below + i);
    }
    const float sum = TreeSum(above);
    factors[group] = sum / TreeSum(below);
  }
}

// trunc(value) of a magnitude below 2^22, in two's complement, in the low byte of each lane; what
// the others hold is left open. Spares the checks of a conversion.
HWY_INLINE U32 LowByteOf(F32 value) {
  return hn::BitCast(kU32, hn::Add(hn::Trunc(value), hn::Set(kF32, 0x1.8p23f)));
}

// trunc(scaled + half), at most `most`, in the low byte.
HWY_INLINE U32 Truncated(F32 scaled, float half, float most) {
  return LowByteOf(hn::Min(hn::Add(scaled, hn::Set(kF32, half)), hn::Set(kF32, most)));
}

template <class Elements>
void QuantiseQ8(const SourceElements& halves, size_t groups, const float* inverses, const float*,
                uint8_t* blocks) {
  const U32 sign_bit = hn::Set(kU32, 0x80000000u);
  const U32 half_bits = hn::BitCast(kU32, hn::Set(kF32, 0x1.fffffep-2f));
  for (size_t group = 0; group < groups; ++group) {
    const F32 inverse = hn::Set(kF32, inverses[group]);
    uint8_t* out = blocks + group * BlockOf(GgmlFormat::kQ8_0).bytes + 2;
    for (size_t i = 0; i < kGgmlGroup; i += hn::Lanes(kF32)) {
      const auto* half = HalfOf<Elements>(halves, 2 * group + i / kPiece);
      const F32 scaled = hn::Mul(Elements::Load(half + i % kPiece), inverse);
      const U32 sign = hn::And(hn::BitCast(kU32, scaled), sign_bit);
      const F32 away = hn::BitCast(kF32, hn::Or(half_bits, sign));
      hn::StoreU(hn::TruncateTo(kU8, LowByteOf(hn::Add(scaled, away))), kU8, out + i);
    }
  }
}

// Codes of 4 or 5 bits of one group's piece: of its first half, and of its second.
template <GgmlFormat kFormat>
HWY_INLINE U32 CodesOf(F32 value, F32 inverse, F32 low) {
  if constexpr (kFormat == GgmlFormat::kQ4_0) {
    return Truncated(hn::Mul(value, inverse), 8.5f, 15.0f);
  } else if constexpr (kFormat == GgmlFormat::kQ5_0) {
    return Truncated(hn::Mul(value, inverse), 16.5f, 31.0f);
  } else if constexpr (kFormat == GgmlFormat::kQ4_1) {
    return Truncated(hn::Mul(hn::Sub(value, low), inverse), 0.5f, 15.0f);
  } else if constexpr (kFormat == GgmlFormat::kQ5_1) {
    return Truncated(hn::Mul(hn::Sub(value, low), inverse), 0.5f, 31.0f);
  } else {
    return hn::BitCast(kU32, Iq4NlSum(hn::Mul(value, inverse), 0, OneMore));
  }
}

HWY_INLINE uint32_t FifthBits(U32 codes) {
  HWY_ALIGN uint8_t bytes[8] = {};
  hn::StoreMaskBits(kU32, hn::Gt(codes, hn::Set(kU32, 15u)), bytes);
  uint32_t bits;
  std::memcpy(&bits, bytes, 4);
  return bits;
}

template <class Elements, GgmlFormat kFormat>
void QuantiseNibbles(const SourceElements& halves, size_t groups, const float* inverses,
                     const float* lows, uint8_t* blocks) {
  constexpr const GgmlBlock& kBlock = BlockOf(kFormat);
  for (size_t group = 0; group < groups; ++group) {
    const auto* first = HalfOf<Elements>(halves, 2 * group);
    const auto* second = HalfOf<Elements>(halves, 2 * group + 1);
    const F32 inverse = hn::Set(kF32, inverses[group]), low = hn::Set(kF32, lows[group]);
    uint8_t* out = blocks + group * kBlock.bytes + kBlock.codes;
    uint32_t fifth = 0;
    for (size_t at = 0; at < kPiece; at += hn::Lanes(kF32)) {
      U32 x = CodesOf<kFormat>(Elements::Load(first + at), inverse, low);
      U32 y = CodesOf<kFormat>(Elements::Load(second + at), inverse, low);
      if constexpr (kBlock.bits == 5) {
        x = hn::And(x, hn::Set(kU32, 31u));
        y = hn::And(y, hn::Set(kU32, 31u));
        fifth |= FifthBits(x) << at | FifthBits(y) << (kPiece + at);
        x = hn::And(x, hn::Set(kU32, 15u));
        y = hn::And(y, hn::Set(kU32, 15u));
      }
      hn::StoreU(hn::TruncateTo(kU8, hn::Or(x, hn::ShiftLeft<4>(y))), kU8, out + at);
    }
    if constexpr (kBlock.bits == 5) std::memcpy(out - 4, &fifth, 4);
  }
}

// Value of a code: q * scale, or q * scale + minimum.
template <GgmlFormat kFormat>
HWY_INLINE F32 ValueOf(I32 code, F32 scale, F32 minimum) {
  if constexpr (kFormat == GgmlFormat::kQ4_0) code = hn::Sub(code, hn::Set(kI32, 8));
  if constexpr (kFormat == GgmlFormat::kQ5_0) code = hn::Sub(code, hn::Set(kI32, 16));
  const F32 value = hn::Mul(hn::ConvertTo(kF32, code), scale);
  if constexpr (BlockOf(kFormat).has_minimum) return hn::Add(value, minimum);
  return value;
}

template <class Elements, GgmlFormat kFormat>
void DequantiseOf(const uint8_t* blocks, size_t groups, const TargetElements& halves) {
  constexpr const GgmlBlock& kBlock = BlockOf(kFormat);
  constexpr bool kSigned = kFormat == GgmlFormat::kQ8_0 || kFormat == GgmlFormat::kIq4Nl;
  const size_t lanes = hn::Lanes(kF32);
  for (size_t group = 0; group < groups; ++group) {
    const uint8_t* in = blocks + group * kBlock.bytes;
    auto* first = static_cast<typename Elements::Type*>(halves.rows[2 * group]);
    auto* second = static_cast<typename Elements::Type*>(halves.rows[2 * group + 1]);
    uint16_t scale_bits, minimum_bits = 0;
    std::memcpy(&scale_bits, in, 2);
    if constexpr (kBlock.has_minimum) std::memcpy(&minimum_bits, in + 2, 2);
    const F32 scale = hn::Set(kF32, FloatOfFp16(scale_bits));
    const F32 minimum = hn::Set(kF32, FloatOfFp16(minimum_bits));
    const uint8_t* codes = in + kBlock.codes;
    HWY_ALIGN int8_t values[kGgmlGroup];
    if constexpr (kFormat == GgmlFormat::kQ8_0) {
      std::memcpy(values, codes, kGgmlGroup);
    } else if constexpr (kFormat == GgmlFormat::kIq4Nl) {
      const hn::CappedTag<uint8_t, 16> d;
      const hn::RebindToSigned<decltype(d)> di;
      const auto table = hn::BitCast(d, hn::LoadU(di, kIq4NlValues));
      const auto both = hn::LoadU(d, codes);
      const auto low = hn::And(both, hn::Set(d, uint8_t{15}));
      const auto high = hn::And(
          hn::BitCast(
              d, hn::ShiftRight<4>(hn::BitCast(hn::Repartition<uint16_t, decltype(d)>(), both))),
          hn::Set(d, uint8_t{15}));
      hn::Store(hn::BitCast(di, hn::TableLookupBytes(table, low)), di, values);
      hn::Store(hn::BitCast(di, hn::TableLookupBytes(table, high)), di, values + kPiece);
    }
    uint32_t fifth = 0;
    if constexpr (kBlock.bits == 5) std::memcpy(&fifth, codes - 4, 4);
    for (size_t at = 0; at < kPiece; at += lanes) {
      I32 x, y;
      if constexpr (kSigned) {
        x = hn::PromoteTo(kI32, hn::LoadU(kI8, values + at));
        y = hn::PromoteTo(kI32, hn::LoadU(kI8, values + kPiece + at));
      } else {
        const U32 both = hn::PromoteTo(kU32, hn::LoadU(kU8, codes + at));
        U32 low = hn::And(both, hn::Set(kU32, 15u)), high = hn::ShiftRight<4>(both);
        if constexpr (kBlock.bits == 5) {
          const U32 lane = hn::Iota(kU32, static_cast<uint32_t>(at)), one = hn::Set(kU32, 1u);
          const U32 low_bit = hn::And(hn::Shr(hn::Set(kU32, fifth), lane), one);
          const U32 high_bit = hn::And(hn::Shr(hn::Set(kU32, fifth >> 16), lane), one);
          low = hn::Or(low, hn::ShiftLeft<4>(low_bit));
          high = hn::Or(high, hn::ShiftLeft<4>(high_bit));
        }
        x = hn::BitCast(kI32, low);
        y = hn::BitCast(kI32, high);
      }
      Elements::Store(ValueOf<kFormat>(x, scale, minimum), first + at);
      Elements::Store(ValueOf<kFormat>(y, scale, minimum), second + at);
    }
  }
}

using QuantiseFunction = void (*)(const SourceElements&, size_t, const float*, const float*,
                                  uint8_t*);
using DequantiseFunction = void (*)(const uint8_t*, size_t, const TargetElements&);

using RangesFunction = bool (*)(const SourceElements&, float*, float*);

struct KernelsOfType {
  RangesFunction ranges;
  void (*fit_iq4_nl)(const SourceElements&, size_t, const float*, float*);
  QuantiseFunction quantise[kGgmlFormats];
  DequantiseFunction dequantise[kGgmlFormats];
};

template <class E>
constexpr KernelsOfType KernelsOf(RangesFunction ranges) {
  using enum GgmlFormat;
  return {ranges,
          FitIq4NlOf<E>,
          {QuantiseQ8<E>, QuantiseNibbles<E, kQ4_0>, QuantiseNibbles<E, kQ4_1>,
           QuantiseNibbles<E, kQ5_0>, QuantiseNibbles<E, kQ5_1>, QuantiseNibbles<E, kIq4Nl>},
          {DequantiseOf<E, kQ8_0>, DequantiseOf<E, kQ4_0>, DequantiseOf<E, kQ4_1>,
           DequantiseOf<E, kQ5_0>, DequantiseOf<E, kQ5_1>, DequantiseOf<E, kIq4Nl>}};
}

const KernelsOfType& KernelsFor(ElementType type) {
  static constexpr KernelsOfType kKernels[] = {KernelsOf<F32Elements>(RangesOfF32),
                                               KernelsOf<Bf16Elements>(RangesOf16<Bf16Elements>),
                                               KernelsOf<Fp16Elements>(RangesOf16<Fp16Elements>)};
  return kKernels[static_cast<size_t>(type)];
}

bool Ranges(const SourceElements& halves, float* lows, float* highs) {
  return KernelsFor(halves.type).ranges(halves, lows, highs);
}

void FitIq4Nl(const SourceElements& halves, size_t groups, const float* inverses, float* factors) {
  KernelsFor(halves.type).fit_iq4_nl(halves, groups, inverses, factors);
}

void Quantise(GgmlFormat format, const SourceElements& halves, size_t groups, const float* inverses,
              const float* lows, uint8_t* blocks) {
  KernelsFor(halves.type)
      .quantise[static_cast<size_t>(format)](halves, groups, inverses, lows, blocks);
}

void Dequantise(GgmlFormat format, const uint8_t* blocks, size_t groups,
                const TargetElements& halves) {
  KernelsFor(halves.type).dequantise[static_cast<size_t>(format)](blocks, groups, halves);
}

}  // namespace

const GgmlOps& TargetGgmlOps() {
  static constexpr GgmlOps kOps = {
      .ranges = Ranges,
      .scales = Scales,
      .store_scales = StoreScales,
      .fit_iq4_nl = FitIq4Nl,
      .quantise = Quantise,
      .dequantise = Dequantise,
  };
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetGgmlOps);

const GgmlOps& SimdGgmlOps() { return HWY_DYNAMIC_DISPATCH(TargetGgmlOps)(); }

}  // namespace larder
#endif
