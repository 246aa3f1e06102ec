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

#include "kernels/codec/simd_lanes.inc"

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

// D is kF32 or narrower.
template <class D>
HWY_INLINE void StoreBf16(D d, hn::Vec<D> value, uint16_t* out) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint16_t, D> d16;
  const auto bits = hn::BitCast(du, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7FFFu)), odd));
  hn::StoreU(hn::TruncateTo(d16, rounded), d16, out);
}

template <class D>
HWY_INLINE hn::Vec<D> LoadBf16(D d, const uint16_t* values) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint16_t, D> d16;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, values))));
}

void WidenBf16(const uint16_t* values, float* out, size_t count) {
  for (size_t i = 0; i < count; i += kLanes) hn::StoreU(LoadBf16(kF32, values + i), kF32, out + i);
}

void NarrowBf16(const float* values, uint16_t* out, size_t count) {
  for (size_t i = 0; i < count; i += kLanes) {
    StoreBf16(kF32, hn::LoadU(kF32, values + i), out + i);
  }
}

void WidenFp16(const uint16_t* values, float* out, size_t count) {
  const U32 magnitude_mask = hn::Set(kU32, 0x7FFFu);
  for (size_t i = 0; i < count; i += kLanes) {
    const U32 wide = hn::PromoteTo(kU32, hn::LoadU(kU16, values + i));
    const U32 sign = hn::ShiftLeft<31>(hn::ShiftRight<15>(wide));
    const F32 magnitude =
        hn::Mul(hn::BitCast(kF32, hn::ShiftLeft<13>(hn::And(wide, magnitude_mask))),
                hn::Set(kF32, 0x1p112f));
    hn::StoreU(WithSignOf(magnitude, sign), kF32, out + i);
  }
}

// Steps of Fp16OfFloat (number_formats.h): the magnitude of a
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
  for (size_t i = 0; i < count; i += kLanes) {
    const F32 value = hn::LoadU(kF32, values + i);
    const U32 sign = hn::ShiftLeft<15>(hn::ShiftRight<31>(hn::BitCast(kU32, value)));
    const U32 magnitude =
        NarrowMagnitude<13>(MagnitudeBits(value), 0x477FE000u, 0x38800000u, 0.5f, 112u << 10);
    hn::StoreU(hn::TruncateTo(kU16, hn::Or(sign, magnitude)), kU16, out + i);
  }
}

float MaxMagnitude(const float* values, size_t count) {
  U32 max = hn::Zero(kU32);  // magnitudes of finite numbers order as their bits
  for (size_t i = 0; i < count; i += kLanes) {
    max = hn::Max(max, MagnitudeBits(hn::LoadU(kF32, values + i)));
  }
  HWY_ALIGN uint32_t each[16];
  hn::Store(max, kU32, each);
  uint32_t result = 0;
  for (size_t i = 0; i < kLanes; ++i) result = HWY_MAX(result, each[i]);
  return FloatOfBits(result);
}

float Dot(const float* left, const float* right, size_t count) {
  return SumTree(count, [&](size_t i) HWY_ATTR {
    return hn::Mul(hn::LoadU(kF32, left + i), hn::LoadU(kF32, right + i));
  });
}

void Scale(float* values, size_t count, float factor) {
  const F32 by = hn::Set(kF32, factor);
  for (size_t i = 0; i < count; i += kLanes) {
    hn::StoreU(hn::Mul(hn::LoadU(kF32, values + i), by), kF32, values + i);
  }
}

void AddColumns(float* rows, size_t row_count, size_t width, const float* columns, float sign) {
  const F32 by = hn::Set(kF32, sign);
  for (size_t row = 0; row < row_count; ++row) {
    float* values = rows + row * width;
    for (size_t i = 0; i < width; i += kLanes) {
      const F32 addend = hn::Mul(by, hn::LoadU(kF32, columns + i));
      hn::StoreU(hn::Add(hn::LoadU(kF32, values + i), addend), kF32, values + i);
    }
  }
}

// kCount vectors of columns at once: as many chains of additions as overlap.
template <size_t kCount>
void SumSomeColumns(const float* rows, size_t row_count, size_t width, float* sums) {
  F32 sum[kCount];
  for (size_t i = 0; i < kCount; ++i) sum[i] = hn::LoadU(kF32, sums + i * kLanes);
  for (size_t row = 0; row < row_count; ++row) {
    for (size_t i = 0; i < kCount; ++i) {
      sum[i] = hn::Add(sum[i], hn::LoadU(kF32, rows + row * width + i * kLanes));
    }
  }
  for (size_t i = 0; i < kCount; ++i) hn::StoreU(sum[i], kF32, sums + i * kLanes);
}

void SumColumns(const float* rows, size_t row_count, size_t width, float* sums) {
  size_t i = 0;
  for (; i + 8 * kLanes <= width; i += 8 * kLanes) {
    SumSomeColumns<8>(rows + i, row_count, width, sums + i);
  }
  for (; i < width; i += kLanes) SumSomeColumns<1>(rows + i, row_count, width, sums + i);
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
struct Pair {
  hn::Vec<D> x, y;
};

template <class D>
HWY_INLINE Pair<D> Turned(D d, const Pair<D>& pair, const float* cosines, const float* sines) {
  const auto cosine = hn::LoadU(d, cosines), sine = hn::LoadU(d, sines);
  return {hn::Sub(hn::Mul(pair.x, cosine), hn::Mul(pair.y, sine)),
          hn::Add(hn::Mul(pair.x, sine), hn::Mul(pair.y, cosine))};
}

// Runs turn(d, j) for the pairs from j on, with the widest vectors that divide them.
template <class Turn>
HWY_INLINE void ForPairs(size_t pairs, const Turn& turn) {
  if (pairs % kLanes == 0) {
    for (size_t j = 0; j < pairs; j += kLanes) turn(kF32, j);
    return;
  }
  const hn::CappedTag<float, 8> d;
  for (size_t j = 0; j < pairs; j += hn::Lanes(d)) turn(d, j);
}

void TurnPairs(float* row, const float* cosines, const float* sines, size_t pairs,
               bool interleaved) {
  if (interleaved) return TurnInterleaved(row, cosines, sines, pairs);
  ForPairs(pairs, [&](auto d, size_t j) HWY_ATTR {
    using D = decltype(d);
    const Pair<D> pair{hn::LoadU(d, row + j), hn::LoadU(d, row + pairs + j)};
    const Pair<D> turned = Turned(d, pair, cosines + j, sines + j);
    hn::StoreU(turned.x, d, row + j);
    hn::StoreU(turned.y, d, row + pairs + j);
  });
}

void WidenTurnBf16(const uint16_t* row, const RopeRow& rope, size_t pairs, float* out) {
  ForPairs(pairs, [&](auto d, size_t j) HWY_ATTR {
    using D = decltype(d);
    const Pair<D> pair{LoadBf16(d, row + j), LoadBf16(d, row + pairs + j)};
    const Pair<D> turned = Turned(d, pair, rope.cosines + j, rope.sines + j);
    hn::StoreU(turned.x, d, out + j);
    hn::StoreU(turned.y, d, out + pairs + j);
  });
}

void TurnNarrowBf16(const float* row, const float* mean, const RopeRow& rope, size_t pairs,
                    uint16_t* out) {
  ForPairs(pairs, [&](auto d, size_t j) HWY_ATTR {
    using D = decltype(d);
    Pair<D> pair{hn::LoadU(d, row + j), hn::LoadU(d, row + pairs + j)};
    if (mean != nullptr) {
      pair.x = hn::Add(pair.x, hn::LoadU(d, mean + j));
      pair.y = hn::Add(pair.y, hn::LoadU(d, mean + pairs + j));
    }
    const Pair<D> turned = Turned(d, pair, rope.cosines + j, rope.sines + j);
    StoreBf16(d, turned.x, out + j);
    StoreBf16(d, turned.y, out + pairs + j);
  });
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
  if constexpr (kLanes >= 8) {
    value = Butterfly<4>(value, hn::SwapAdjacentBlocks(value));
  }
  if constexpr (kLanes >= 16) {
    value = Butterfly<8>(value, hn::ConcatLowerUpper(kF32, value, value));
  }
  return value;
}

void Hadamard(float* values, size_t count) {
  const size_t lanes = kLanes;
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
      .widen_turn_bf16 = WidenTurnBf16,
      .turn_narrow_bf16 = TurnNarrowBf16,
      .hadamard = Hadamard,
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
