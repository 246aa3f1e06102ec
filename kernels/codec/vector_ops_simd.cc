// The SIMD twin of vector_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/vector_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <bit>

#include "kernels/codec/element_rows.h"
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

#include "kernels/codec/element_rows_simd.inc"

uint32_t MaxMagnitudeBits16(const uint16_t* values, size_t count) {
  const hn::CappedTag<uint16_t, 32> d;
  const hn::CappedTag<uint16_t, 16> d16;  // counts are multiples of 16
  const auto mask = hn::Set(d, uint16_t{0x7FFF});
  auto max = hn::Zero(d), other = max;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    max = hn::Max(max, hn::And(hn::LoadU(d, values + i), mask));
    other = hn::Max(other, hn::And(hn::LoadU(d, values + i + lanes), mask));
  }
  HWY_ALIGN uint16_t each[hn::MaxLanes(d)];
  hn::Store(hn::Max(max, other), d, each);
  uint32_t result = 0;
  for (; i < count; i += hn::Lanes(d16)) {
    const auto last = hn::And(hn::LoadU(d16, values + i), hn::Set(d16, uint16_t{0x7FFF}));
    result = HWY_MAX(result, uint32_t{hn::GetLane(hn::MaxOfLanes(d16, last))});
  }
  for (size_t lane = 0; lane < lanes; ++lane) result = HWY_MAX(result, uint32_t{each[lane]});
  return result;
}

template <class Elements>
void Widen(const uint16_t* values, float* out, size_t count) {
  for (size_t i = 0; i < count; i += kLanes) hn::StoreU(Elements::Load(values + i), kF32, out + i);
}

template <class Elements>
void Narrow(const float* values, uint16_t* out, size_t count) {
  for (size_t i = 0; i < count; i += kLanes) Elements::Store(hn::LoadU(kF32, values + i), out + i);
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
    const Pair<D> pair{Bf16Elements::Load(d, row + j), Bf16Elements::Load(d, row + pairs + j)};
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
    Bf16Elements::Store(d, turned.x, out + j);
    Bf16Elements::Store(d, turned.y, out + pairs + j);
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
      .widen_bf16 = Widen<Bf16Elements>,
      .narrow_bf16 = Narrow<Bf16Elements>,
      .widen_fp16 = Widen<Fp16Elements>,
      .narrow_fp16 = Narrow<Fp16Elements>,
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
