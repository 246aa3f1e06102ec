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
      range = high;
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
void FitIq4NlOf(const SourceElements& source, size_t groups, const float* inverses,
                float* factors) {
  for (size_t group = 0; group < groups; ++group) {
    const F32 inverse = hn::Set(kF32, inverses[group]);
    HWY_ALIGN float above[kGgmlGroup], below[kGgmlGroup];
    for (size_t i = 0; i < kGgmlGroup; i += hn::Lanes(kF32)) {
      const F32 scaled = hn::Mul(Elements::Load(GroupOf<Elements>(source, group) + i), inverse);
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
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  return U32{_mm512_cvttps_epi32(value.raw)};
#elif HWY_TARGET == HWY_AVX2
  return U32{_mm256_cvttps_epi32(value.raw)};
#else
  return hn::BitCast(kU32, hn::Add(hn::Trunc(value), hn::Set(kF32, 0x1.8p23f)));
#endif
}

// A group is this many vectors of pairs.
constexpr size_t kVectors = kGgmlGroup / kPairStep<decltype(kF32)>;
constexpr hn::Repartition<uint8_t, decltype(kU32)> kBytes;
constexpr hn::Half<decltype(kF32)> kHalf;
constexpr hn::Half<decltype(kU32)> kHalfU32;

// The code of a value of a group, in the low byte; one beyond the greatest is left to the caller.
template <GgmlFormat kFormat>
HWY_INLINE U32 CodeOf(F32 value, F32 inverse, F32 low) {
  if constexpr (kFormat == GgmlFormat::kQ8_0) {
    const F32 scaled = hn::Mul(value, inverse);
    // Just below a half: then truncation is to nearest, source away from zero.
    const U32 half = hn::BitCast(kU32, hn::Set(kF32, 0x1.fffffep-2f));
    const U32 away = hn::OrAnd(half, hn::BitCast(kU32, scaled), hn::Set(kU32, 1u << 31));
    return LowByteOf(hn::Add(scaled, hn::BitCast(kF32, away)));
  } else if constexpr (kFormat == GgmlFormat::kIq4Nl) {
    return hn::BitCast(kU32, Iq4NlSum(hn::Mul(value, inverse), 0, OneMore));
  } else if constexpr (BlockOf(kFormat).has_minimum) {
    return LowByteOf(hn::Add(hn::Mul(hn::Sub(value, low), inverse), hn::Set(kF32, 0.5f)));
  } else {
    const float middle = kFormat == GgmlFormat::kQ4_0 ? 8.5f : 16.5f;
    return LowByteOf(hn::Add(hn::Mul(value, inverse), hn::Set(kF32, middle)));
  }
}

// Pairs of codes, none beyond the greatest.
template <class Elements, GgmlFormat kFormat>
HWY_INLINE U32 CodesOf(const typename Elements::Type* from, F32 inverse, F32 low) {
  const auto values = Elements::LoadPairs(kF32, from);
  const U32 joined = JoinBytes(kF32, CodeOf<kFormat>(values.even, inverse, low),
                               CodeOf<kFormat>(values.odd, inverse, low));
  if constexpr (kFormat == GgmlFormat::kQ8_0 || kFormat == GgmlFormat::kIq4Nl) return joined;
  const auto greatest = hn::Set(kBytes, static_cast<uint8_t>((1 << BlockOf(kFormat).bits) - 1));
  return hn::BitCast(kU32, hn::Min(hn::BitCast(kBytes, joined), greatest));
}

// Bit i: whether code i of the pairs is beyond 15.
HWY_INLINE uint32_t FifthBits(U32 joined) {
  const hn::Rebind<uint16_t, decltype(kU32)> d16;
  const hn::Repartition<uint8_t, decltype(d16)> d8;
  const auto codes = hn::BitCast(d8, hn::TruncateTo(d16, joined));
  HWY_ALIGN uint8_t bytes[8] = {};
  hn::StoreMaskBits(d8, hn::Gt(codes, hn::Set(d8, uint8_t{15})), bytes);
  uint32_t bits;
  std::memcpy(&bits, bytes, 4);
  return bits;
}

// Codes below 16 of a whole group: the first half to the low nibbles, the second to the high ones.
HWY_INLINE void StoreNibbles(const U32* joined, uint8_t* out) {
  if constexpr (kVectors == 1) {
    const auto high = hn::ShiftLeft<4>(hn::UpperHalf(kHalfU32, joined[0]));
    StoreLowHalves(kHalf, hn::Or(hn::LowerHalf(kHalfU32, joined[0]), high), out);
  } else {
    for (size_t i = 0; i < kVectors / 2; ++i) {
      const U32 both = hn::Or(joined[i], hn::ShiftLeft<4>(joined[i + kVectors / 2]));
      StoreLowHalves(kF32, both, out + i * kPairStep<decltype(kF32)>);
    }
  }
}

HWY_INLINE void LoadNibbles(const uint8_t* in, U32* joined) {
  const U32 nibble = hn::Set(kU32, 0x0F0Fu);
  if constexpr (kVectors == 1) {
    const auto both = LoadToLowHalves(kHalf, in);
    joined[0] = hn::And(hn::Combine(kU32, hn::ShiftRight<4>(both), both), nibble);
  } else {
    for (size_t i = 0; i < kVectors / 2; ++i) {
      const U32 both = LoadToLowHalves(kF32, in + i * kPairStep<decltype(kF32)>);
      joined[i] = hn::And(both, nibble);
      joined[i + kVectors / 2] = hn::And(hn::ShiftRight<4>(both), nibble);
    }
  }
}

template <class Elements, GgmlFormat kFormat>
void QuantiseOf(const SourceElements& source, size_t groups, const float* inverses,
                const float* lows, uint8_t* blocks) {
  constexpr const GgmlBlock& kBlock = BlockOf(kFormat);
  constexpr size_t kStep = kPairStep<decltype(kF32)>;
  for (size_t group = 0; group < groups; ++group) {
    const auto* from = GroupOf<Elements>(source, group);
    const F32 inverse = hn::Set(kF32, inverses[group]), low = hn::Set(kF32, lows[group]);
    uint8_t* out = blocks + group * kBlock.bytes + kBlock.codes;
    U32 joined[kVectors];
    for (size_t i = 0; i < kVectors; ++i) {
      joined[i] = CodesOf<Elements, kFormat>(from + i * kStep, inverse, low);
    }
    if constexpr (kBlock.bits == 8) {
      for (size_t i = 0; i < kVectors; ++i) StoreLowHalves(kF32, joined[i], out + i * kStep);
      continue;
    }
    if constexpr (kBlock.bits == 5) {
      uint32_t fifth = 0;
      for (size_t i = 0; i < kVectors; ++i) {
        fifth |= FifthBits(joined[i]) << (i * kStep);
        joined[i] = hn::And(joined[i], hn::Set(kU32, 0x0F0Fu));
      }
      std::memcpy(out - 4, &fifth, 4);
    }
    StoreNibbles(joined, out);
  }
}

// What a code means in units of the scale: of the first of each pair, or of the second.
template <GgmlFormat kFormat, bool kSecond>
HWY_INLINE I32 LevelOf(U32 joined) {
  if constexpr (kFormat == GgmlFormat::kQ8_0 || kFormat == GgmlFormat::kIq4Nl) {  // signed bytes
    return hn::ShiftRight<24>(hn::BitCast(kI32, hn::ShiftLeft < kSecond ? 16 : 24 > (joined)));
  } else {
    const U32 code = kSecond ? hn::ShiftRight<8>(joined) : hn::And(joined, hn::Set(kU32, 0xFFu));
    if constexpr (BlockOf(kFormat).has_minimum) return hn::BitCast(kI32, code);
    const int32_t zero = kFormat == GgmlFormat::kQ4_0 ? 8 : 16;
    return hn::Sub(hn::BitCast(kI32, code), hn::Set(kI32, zero));
  }
}

// Stores the values of pairs of codes: q * scale, or q * scale + minimum.
template <class Elements, GgmlFormat kFormat>
HWY_INLINE void StoreValues(U32 joined, F32 scale, F32 minimum, typename Elements::Type* to) {
  const auto value = [&](I32 level) HWY_ATTR {
    const F32 scaled = hn::Mul(hn::ConvertTo(kF32, level), scale);
    return BlockOf(kFormat).has_minimum ? hn::Add(scaled, minimum) : scaled;
  };
  Elements::StorePairs(
      kF32, {value(LevelOf<kFormat, false>(joined)), value(LevelOf<kFormat, true>(joined))}, to);
}

// Bit i of `bits` as bit 4 of code i of the pairs.
HWY_INLINE U32 SixteensOf(uint32_t bits) {
  const U32 first = hn::Iota(kU32, 0u), one = hn::Set(kU32, 1u);
  const U32 shifted = hn::Shr(hn::Set(kU32, bits), hn::Add(first, first));
  const U32 even = hn::ShiftLeft<4>(hn::And(shifted, one));
  return hn::Or(even, hn::ShiftLeft<11>(hn::And(shifted, hn::Set(kU32, 2u))));
}

// The 16 codes' meanings of iq4_nl, as bytes.
HWY_INLINE U32 Iq4NlLevels(U32 codes) {
  const hn::RebindToSigned<decltype(kBytes)> signed_bytes;
  const auto table = hn::BitCast(kBytes, hn::LoadDup128(signed_bytes, kIq4NlValues.data()));
  return hn::BitCast(kU32, hn::TableLookupBytes(table, hn::BitCast(kBytes, codes)));
}

template <class Elements, GgmlFormat kFormat>
void DequantiseOf(const uint8_t* blocks, size_t groups, const TargetElements& target) {
  constexpr const GgmlBlock& kBlock = BlockOf(kFormat);
  constexpr size_t kStep = kPairStep<decltype(kF32)>;
  for (size_t group = 0; group < groups; ++group) {
    const uint8_t* in = blocks + group * kBlock.bytes;
    auto* to = static_cast<typename Elements::Type*>(target.rows[group]);
    uint16_t scale_bits, minimum_bits = 0;
    std::memcpy(&scale_bits, in, 2);
    if constexpr (kBlock.has_minimum) std::memcpy(&minimum_bits, in + 2, 2);
    const F32 scale = hn::Set(kF32, FloatOfFp16(scale_bits));
    const F32 minimum = hn::Set(kF32, FloatOfFp16(minimum_bits));
    const uint8_t* codes = in + kBlock.codes;
    U32 joined[kVectors];
    if constexpr (kBlock.bits == 8) {
      for (size_t i = 0; i < kVectors; ++i) joined[i] = LoadToLowHalves(kF32, codes + i * kStep);
    } else {
      LoadNibbles(codes, joined);
    }
    uint32_t fifth = 0;
    if constexpr (kBlock.bits == 5) std::memcpy(&fifth, codes - 4, 4);
    for (size_t i = 0; i < kVectors; ++i) {
      if constexpr (kFormat == GgmlFormat::kIq4Nl) joined[i] = Iq4NlLevels(joined[i]);
      if constexpr (kBlock.bits == 5)
        joined[i] = hn::Or(joined[i], SixteensOf(fifth >> (i * kStep)));
      StoreValues<Elements, kFormat>(joined[i], scale, minimum, to + i * kStep);
    }
  }
}

using QuantiseFunction = void (*)(const SourceElements&, size_t, const float*, const float*,
                                  uint8_t*);
using DequantiseFunction = void (*)(const uint8_t*, size_t, const TargetElements&);

using RangesFunction = bool (*)(GgmlFormat, const SourceElements&, float*, float*);

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
          {QuantiseOf<E, kQ8_0>, QuantiseOf<E, kQ4_0>, QuantiseOf<E, kQ4_1>, QuantiseOf<E, kQ5_0>,
           QuantiseOf<E, kQ5_1>, QuantiseOf<E, kIq4Nl>},
          {DequantiseOf<E, kQ8_0>, DequantiseOf<E, kQ4_0>, DequantiseOf<E, kQ4_1>,
           DequantiseOf<E, kQ5_0>, DequantiseOf<E, kQ5_1>, DequantiseOf<E, kIq4Nl>}};
}

const KernelsOfType& KernelsFor(ElementType type) {
  static constexpr KernelsOfType kKernels[] = {KernelsOf<F32Elements>(RangesOfF32),
                                               KernelsOf<Bf16Elements>(RangesOf16<Bf16Elements>),
                                               KernelsOf<Fp16Elements>(RangesOf16<Fp16Elements>)};
  return kKernels[static_cast<size_t>(type)];
}

bool Ranges(GgmlFormat format, const SourceElements& source, float* lows, float* highs) {
  return KernelsFor(source.type).ranges(format, source, lows, highs);
}

void FitIq4Nl(const SourceElements& source, size_t groups, const float* inverses, float* factors) {
  KernelsFor(source.type).fit_iq4_nl(source, groups, inverses, factors);
}

void Quantise(GgmlFormat format, const SourceElements& source, size_t groups, const float* inverses,
              const float* lows, uint8_t* blocks) {
  KernelsFor(source.type)
      .quantise[static_cast<size_t>(format)](source, groups, inverses, lows, blocks);
}

void Dequantise(GgmlFormat format, const uint8_t* blocks, size_t groups,
                const TargetElements& target) {
  KernelsFor(target.type).dequantise[static_cast<size_t>(format)](blocks, groups, target);
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
