// The SIMD twin of affine_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/affine_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include "kernels/codec/affine_ops.h"
#include "kernels/codec/affine_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const AffineOps& TargetAffineOps(ElementType type) { return AffineOpsOf(Isa::kScalar, type); }

#else
namespace {

#include "kernels/codec/element_rows_simd.inc"

template <class Elements>
HWY_INLINE F32 LoadAt(const SourceElements& source, size_t row, size_t at) {
  return Elements::Load(static_cast<const typename Elements::Type*>(source.rows[row]) + at);
}

template <class Elements>
HWY_INLINE void StoreAt(F32 value, const TargetElements& target, size_t row, size_t at) {
  Elements::Store(value, static_cast<typename Elements::Type*>(target.rows[row]) + at);
}

HWY_INLINE U32 LoadWords(const uint8_t* words, size_t at) {
  return hn::BitCast(kU32, hn::LoadU(hn::Repartition<uint8_t, decltype(kU32)>(), words + at * 4));
}

HWY_INLINE void StoreWords(U32 value, uint8_t* words, size_t at) {
  const hn::Repartition<uint8_t, decltype(kU32)> d8;
  hn::StoreU(hn::BitCast(d8, value), d8, words + at * 4);
}

constexpr size_t kVectors = 4;  // that are taken together

// Of kCount vectors of columns from `at` on; so many in a row that memory is read in whole lines.
template <class Elements, size_t kCount>
HWY_INLINE void RangesOfVectors(const SourceElements& source, size_t rows, size_t at, float* lows,
                                float* highs, U32& magnitude) {
  const size_t lanes = hn::Lanes(kF32);
  F32 low[kCount], high[kCount];
  for (size_t i = 0; i < kCount; ++i) {
    low[i] = high[i] = LoadAt<Elements>(source, 0, at + i * lanes);
  }
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < kCount; ++i) {
      const F32 value = LoadAt<Elements>(source, row, at + i * lanes);
      low[i] = hn::Min(low[i], value);
      high[i] = hn::Max(high[i], value);
      magnitude = hn::Max(magnitude, MagnitudeBits(value));
    }
  }
  for (size_t i = 0; i < kCount; ++i) {
    hn::StoreU(low[i], kF32, lows + at + i * lanes);
    hn::StoreU(high[i], kF32, highs + at + i * lanes);
  }
}

template <class Elements>
bool ColumnRangesOf(const SourceElements& source, size_t rows, size_t width, float* lows,
                    float* highs) {
  const size_t lanes = hn::Lanes(kF32);
  U32 magnitude = hn::Zero(kU32);
  size_t at = 0;
  for (; at + kVectors * lanes <= width; at += kVectors * lanes) {
    RangesOfVectors<Elements, kVectors>(source, rows, at, lows, highs, magnitude);
  }
  for (; at < width; at += lanes) {
    RangesOfVectors<Elements, 1>(source, rows, at, lows, highs, magnitude);
  }
  return AllBelow(magnitude, NotFiniteBits(Elements::kType));
}

template <class Elements>
bool RowRangesOf(const SourceElements& source, size_t rows, size_t width, size_t group, float* lows,
                 float* highs) {
  U32 magnitude = hn::Zero(kU32);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t begin = 0; begin < width; begin += group) {
      const size_t end = HWY_MIN(begin + group, width);
      F32 low = LoadAt<Elements>(source, row, begin), high = low;
      for (size_t i = begin; i < end; i += hn::Lanes(kF32)) {
        const F32 value = LoadAt<Elements>(source, row, i);
        low = hn::Min(low, value);
        high = hn::Max(high, value);
        magnitude = hn::Max(magnitude, MagnitudeBits(value));
      }
      *lows++ = hn::GetLane(hn::MinOfLanes(kF32, low));
      *highs++ = hn::GetLane(hn::MaxOfLanes(kF32, high));
    }
  }
  return AllBelow(magnitude, NotFiniteBits(Elements::kType));
}

// Sums of several vectors side by side: one alone waits for each addition.
template <class Elements, size_t kCount>
HWY_INLINE void MagnitudesOfVectors(const SourceElements& source, size_t rows, size_t at,
                                    float* sums) {
  const size_t lanes = hn::Lanes(kF32);
  F32 sum[kCount];
  for (size_t i = 0; i < kCount; ++i) sum[i] = hn::Zero(kF32);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < kCount; ++i) {
      const U32 magnitude = MagnitudeBits(LoadAt<Elements>(source, row, at + i * lanes));
      sum[i] = hn::Add(sum[i], hn::BitCast(kF32, magnitude));
    }
  }
  for (size_t i = 0; i < kCount; ++i) hn::StoreU(sum[i], kF32, sums + at + i * lanes);
}

template <class Elements>
void ColumnMagnitudesOf(const SourceElements& source, size_t rows, size_t width, float* sums) {
  const size_t lanes = hn::Lanes(kF32);
  size_t at = 0;
  for (; at + kVectors * lanes <= width; at += kVectors * lanes) {
    MagnitudesOfVectors<Elements, kVectors>(source, rows, at, sums);
  }
  for (; at < width; at += lanes) MagnitudesOfVectors<Elements, 1>(source, rows, at, sums);
}

bool StoreScales(float* lows, float* highs, const float* levels, size_t count, uint16_t* scales,
                 uint16_t* minima) {
  U32 greatest = hn::Zero(kU32);
  const F32 one = hn::Set(kF32, 1.0f);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const F32 low = hn::LoadU(kF32, lows + i), high = hn::LoadU(kF32, highs + i);
    const F32 range = hn::Add(hn::Sub(high, low), hn::Zero(kF32));  // -0 becomes 0
    const F32 scale = hn::Div(range, hn::LoadU(kF32, levels + i));
    const F32 minimum = hn::Add(low, hn::Zero(kF32));
    greatest = hn::Max(greatest, hn::Max(MagnitudeBits(scale), MagnitudeBits(minimum)));
    const U32 scale_bits = NarrowFp16(scale), minimum_bits = NarrowFp16(minimum);
    hn::StoreU(hn::TruncateTo(kU16, scale_bits), kU16, scales + i);
    hn::StoreU(hn::TruncateTo(kU16, minimum_bits), kU16, minima + i);
    hn::StoreU(WidenFp16(minimum_bits), kF32, lows + i);
    const F32 stored = WidenFp16(scale_bits);
    const auto positive = hn::Gt(stored, hn::Zero(kF32));
    hn::StoreU(hn::IfThenElseZero(positive, hn::Div(one, stored)), kF32, highs + i);
  }
  return AllBelow(greatest, BitsOf(kFp16Max) + 1);
}

// The code in the low byte of each lane; what is above it is left open.
HWY_INLINE U32 CodeOf(F32 value, F32 minimum, F32 inverse, F32 level) {
  const F32 scaled = hn::Mul(hn::Sub(value, minimum), inverse);
  const F32 clamped = hn::Min(hn::Max(scaled, hn::Zero(kF32)), level);
  return hn::BitCast(kU32, hn::Add(clamped, hn::Set(kF32, 0x1p23f)));
}

HWY_INLINE F32 ValueOf(U32 code, F32 scale, F32 minimum) {
  return hn::Add(hn::Mul(hn::ConvertTo(kF32, hn::BitCast(kI32, code)), scale), minimum);
}

template <class Elements, unsigned kBits, bool kAbove>
void QuantiseWords(const SourceElements& source, size_t rows, size_t width,
                   const AffineSteps& steps, uint8_t* words, uint8_t* above) {
  const U32 mask = hn::Set(kU32, (1u << kBits) - 1);
  for (size_t i = 0; i < width; i += hn::Lanes(kF32)) {
    const F32 minimum = hn::LoadU(kF32, steps.minima + i);
    const F32 inverse = hn::LoadU(kF32, steps.inverses + i);
    const F32 level = hn::LoadU(kF32, steps.levels + i);
    for (size_t begin = 0; begin < rows; begin += 32 / kBits) {
      const size_t count = HWY_MIN(rows - begin, size_t{32 / kBits});
      const size_t at = begin * kBits / 32 * width + i;
      U32 word = hn::Zero(kU32), more = word;
      for (size_t t = 0; t < count; ++t) {
        const int shift = static_cast<int>(t * kBits);
        const U32 code = CodeOf(LoadAt<Elements>(source, begin + t, i), minimum, inverse, level);
        word = hn::Or(word, hn::ShiftLeftSame(hn::And(code, mask), shift));
        if constexpr (kAbove) {
          const U32 high = hn::And(hn::ShiftRight<kBits>(code), mask);
          more = hn::Or(more, hn::ShiftLeftSame(high, shift));
        }
      }
      StoreWords(word, words, at);
      if constexpr (kAbove) StoreWords(more, above, at);
    }
  }
}

template <class Elements>
void QuantisePlanes(const SourceElements& source, size_t rows, size_t width,
                    const AffineSteps& steps, uint8_t* words) {
  const U32 one = hn::Set(kU32, 1u);
  for (size_t i = 0; i < width; i += hn::Lanes(kF32)) {
    const F32 minimum = hn::LoadU(kF32, steps.minima + i);
    const F32 inverse = hn::LoadU(kF32, steps.inverses + i);
    const F32 level = hn::LoadU(kF32, steps.levels + i);
    for (size_t begin = 0; begin < rows; begin += 32) {
      const size_t count = HWY_MIN(rows - begin, size_t{32});
      U32 low = hn::Zero(kU32), middle = low, high = low;
      for (size_t t = 0; t < count; ++t) {
        const U32 code = CodeOf(LoadAt<Elements>(source, begin + t, i), minimum, inverse, level);
        const int at = static_cast<int>(t);
        low = hn::Or(low, hn::ShiftLeftSame(hn::And(code, one), at));
        middle = hn::Or(middle, hn::ShiftLeftSame(hn::And(hn::ShiftRight<1>(code), one), at));
        high = hn::Or(high, hn::ShiftLeftSame(hn::And(hn::ShiftRight<2>(code), one), at));
      }
      const size_t word = begin / 32 * 3 * width + i;
      StoreWords(low, words, word);
      StoreWords(middle, words, word + width);
      StoreWords(high, words, word + 2 * width);
    }
  }
}

template <class E>
void QuantiseColumnsOf(const SourceElements& source, size_t rows, size_t width,
                       const AffineSteps& steps, unsigned bits, uint8_t* words, uint8_t* above) {
  if (bits == 3) return QuantisePlanes<E>(source, rows, width, steps, words);
  const auto kernel = above != nullptr ? QuantiseWords<E, 2, true>
                      : bits == 2      ? QuantiseWords<E, 2, false>
                      : bits == 4      ? QuantiseWords<E, 4, false>
                                       : QuantiseWords<E, 8, false>;
  kernel(source, rows, width, steps, words, above);
}

// Row by row, so that memory is written in its order; words and scales stay in the first-level cache.
template <class Elements, unsigned kBits, bool kAbove>
void DequantiseWords(const uint8_t* words, const uint8_t* above, size_t rows, size_t width,
                     const float* scales, const float* minima, const TargetElements& target) {
  const U32 mask = hn::Set(kU32, (1u << kBits) - 1);
  for (size_t row = 0; row < rows; ++row) {
    const size_t word = row * kBits / 32 * width;
    const int shift = static_cast<int>(row * kBits % 32);
    for (size_t i = 0; i < width; i += hn::Lanes(kF32)) {
      U32 code = hn::And(hn::ShiftRightSame(LoadWords(words, word + i), shift), mask);
      if constexpr (kAbove) {
        const U32 more = hn::And(hn::ShiftRightSame(LoadWords(above, word + i), shift), mask);
        code = hn::Or(code, hn::ShiftLeft<kBits>(more));
      }
      const F32 scale = hn::LoadU(kF32, scales + i), minimum = hn::LoadU(kF32, minima + i);
      StoreAt<Elements>(ValueOf(code, scale, minimum), target, row, i);
    }
  }
}

template <class Elements>
void DequantisePlanes(const uint8_t* words, size_t rows, size_t width, const float* scales,
                      const float* minima, const TargetElements& target) {
  const U32 one = hn::Set(kU32, 1u);
  for (size_t i = 0; i < width; i += hn::Lanes(kF32)) {
    const F32 scale = hn::LoadU(kF32, scales + i), minimum = hn::LoadU(kF32, minima + i);
    for (size_t row = 0; row < rows; ++row) {
      const size_t word = row / 32 * 3 * width + i;
      const int at = static_cast<int>(row % 32);
      const U32 low = hn::And(hn::ShiftRightSame(LoadWords(words, word), at), one);
      const U32 middle = hn::And(hn::ShiftRightSame(LoadWords(words, word + width), at), one);
      const U32 high = hn::And(hn::ShiftRightSame(LoadWords(words, word + 2 * width), at), one);
      const U32 code = hn::Or(low, hn::Or(hn::ShiftLeft<1>(middle), hn::ShiftLeft<2>(high)));
      StoreAt<Elements>(ValueOf(code, scale, minimum), target, row, i);
    }
  }
}

template <class E>
void DequantiseColumnsOf(const uint8_t* words, const uint8_t* above, unsigned bits, size_t rows,
                         size_t width, const float* scales, const float* minima,
                         const TargetElements& target) {
  if (bits == 3) return DequantisePlanes<E>(words, rows, width, scales, minima, target);
  const auto kernel = above != nullptr ? DequantiseWords<E, 2, true>
                      : bits == 2      ? DequantiseWords<E, 2, false>
                      : bits == 4      ? DequantiseWords<E, 4, false>
                                       : DequantiseWords<E, 8, false>;
  kernel(words, above, rows, width, scales, minima, target);
}

template <class Elements>
void QuantiseRowsOf(const SourceElements& source, size_t rows, size_t width, size_t group,
                    const AffineSteps& steps, uint8_t* codes) {
  const F32 level = hn::Set(kF32, steps.levels[0]);
  size_t at = 0;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t begin = 0; begin < width; begin += group, ++at) {
      const F32 minimum = hn::Set(kF32, steps.minima[at]);
      const F32 inverse = hn::Set(kF32, steps.inverses[at]);
      const size_t end = HWY_MIN(begin + group, width);
      for (size_t i = begin; i < end; i += hn::Lanes(kF32)) {
        const U32 code = CodeOf(LoadAt<Elements>(source, row, i), minimum, inverse, level);
        hn::StoreU(hn::TruncateTo(kU8, code), kU8, codes + row * width + i);
      }
    }
  }
}

template <class Elements>
void DequantiseRowsOf(const uint8_t* codes, size_t rows, size_t width, size_t group,
                      const float* scales, const float* minima, const TargetElements& target) {
  size_t at = 0;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t begin = 0; begin < width; begin += group, ++at) {
      const F32 scale = hn::Set(kF32, scales[at]), minimum = hn::Set(kF32, minima[at]);
      const size_t end = HWY_MIN(begin + group, width);
      for (size_t i = begin; i < end; i += hn::Lanes(kF32)) {
        const U32 code = hn::PromoteTo(kU32, hn::LoadU(kU8, codes + row * width + i));
        StoreAt<Elements>(ValueOf(code, scale, minimum), target, row, i);
      }
    }
  }
}

// The kernels of one type of element; those of every type have the same scales.
template <class E>
constexpr AffineOps OpsOf() {
  return {
      .column_ranges = ColumnRangesOf<E>,
      .row_ranges = RowRangesOf<E>,
      .column_magnitudes = ColumnMagnitudesOf<E>,
      .store_scales = StoreScales,
      .quantise_columns = QuantiseColumnsOf<E>,
      .dequantise_columns = DequantiseColumnsOf<E>,
      .quantise_rows = QuantiseRowsOf<E>,
      .dequantise_rows = DequantiseRowsOf<E>,
  };
}

}  // namespace

const AffineOps& TargetAffineOps(ElementType type) {
  static constexpr AffineOps kOps[] = {OpsOf<F32Elements>(), OpsOf<Bf16Elements>(),
                                       OpsOf<Fp16Elements>()};
  return kOps[static_cast<size_t>(type)];
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetAffineOps);

const AffineOps& SimdAffineOps(ElementType type) {
  return HWY_DYNAMIC_DISPATCH(TargetAffineOps)(type);
}

}  // namespace larder
#endif
