// The SIMD twin of rotation_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/rotation_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <bit>

#include "kernels/codec/rotation_ops.h"
#include "kernels/codec/rotation_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const RotationOps& TargetRotationOps() { return RotationOpsOf(Isa::kScalar); }

#else
namespace {

#include "kernels/codec/simd_lanes.inc"

// One butterfly within a vector: `partner` holds, in each lane, the value at the lane's index with
// bit kHalf flipped. Lanes with the bit set become partner - value.
template <unsigned kHalf>
HWY_INLINE F32 Butterfly(F32 value, F32 partner) {
  const U32 upper = hn::And(hn::Iota(kU32, 0u), hn::Set(kU32, kHalf));
  const U32 sign = hn::ShiftLeft<31 - std::countr_zero(kHalf)>(upper);
  return hn::Add(partner, hn::BitCast(kF32, hn::Xor(hn::BitCast(kU32, value), sign)));
}

HWY_INLINE F32 HadamardWithin(F32 value) {
  value = Butterfly<1>(value, hn::Shuffle2301(value));
  value = Butterfly<2>(value, hn::Shuffle1032(value));
  if constexpr (kLanes >= 8) value = Butterfly<4>(value, SwapFours(value));
  if constexpr (kLanes >= 16) value = Butterfly<8>(value, SwapEights(value));
  return value;
}

// kCount consecutive vectors that stay in registers.
template <size_t kCount>
struct Vectors {
  Vectors<kCount / 2> low, high;
};
template <>
struct Vectors<1> {
  F32 value;
};

enum class Factors { kNone, kBefore, kAfter };

template <size_t kCount, Factors kFactors>
HWY_INLINE Vectors<kCount> Load(const float* values, const float* factors) {
  if constexpr (kCount == 1) {
    const F32 value = hn::LoadU(kF32, values);
    if constexpr (kFactors == Factors::kBefore) {
      return {HadamardWithin(hn::Mul(value, hn::LoadU(kF32, factors)))};
    } else {
      return {HadamardWithin(value)};
    }
  } else {
    constexpr size_t kHalf = kCount / 2;
    return {Load<kHalf, kFactors>(values, factors),
            Load<kHalf, kFactors>(values + kHalf * kLanes, factors + kHalf * kLanes)};
  }
}

template <size_t kCount>
HWY_INLINE Vectors<kCount> Sum(const Vectors<kCount>& x, const Vectors<kCount>& y) {
  if constexpr (kCount == 1) {
    return {hn::Add(x.value, y.value)};
  } else {
    return {Sum(x.low, y.low), Sum(x.high, y.high)};
  }
}

template <size_t kCount>
HWY_INLINE Vectors<kCount> Difference(const Vectors<kCount>& x, const Vectors<kCount>& y) {
  if constexpr (kCount == 1) {
    return {hn::Sub(x.value, y.value)};
  } else {
    return {Difference(x.low, y.low), Difference(x.high, y.high)};
  }
}

template <size_t kCount>
HWY_INLINE Vectors<kCount> HadamardAcross(const Vectors<kCount>& vectors) {
  if constexpr (kCount == 1) {
    return vectors;
  } else {
    const auto x = HadamardAcross(vectors.low), y = HadamardAcross(vectors.high);
    return {Sum(x, y), Difference(x, y)};
  }
}

template <size_t kCount, Factors kFactors>
HWY_INLINE void Store(const Vectors<kCount>& vectors, const float* factors, float* values) {
  if constexpr (kCount == 1) {
    if constexpr (kFactors == Factors::kAfter) {
      hn::StoreU(hn::Mul(vectors.value, hn::LoadU(kF32, factors)), kF32, values);
    } else {
      hn::StoreU(vectors.value, kF32, values);
    }
  } else {
    constexpr size_t kHalf = kCount / 2;
    Store<kHalf, kFactors>(vectors.low, factors, values);
    Store<kHalf, kFactors>(vectors.high, factors + kHalf * kLanes, values + kHalf * kLanes);
  }
}

template <size_t kCount, Factors kFactors>
void HadamardRows(const RowParts& rows, const float* factors) {
  for (size_t row = 0; row < rows.count; ++row) {
    float* values = rows.first + row * rows.stride;
    Store<kCount, kFactors>(HadamardAcross(Load<kCount, kFactors>(values, factors)), factors,
                            values);
  }
}

constexpr size_t kRegisterVectors = 16;  // as many as stay in the registers of AVX-512

// Runs of kRegisterVectors in registers, then the wider distances through memory.
template <Factors kFactors>
void HadamardWide(const RowParts& rows, const float* factors) {
  constexpr size_t kRun = kRegisterVectors * kLanes;
  constexpr Factors kWithin = kFactors == Factors::kBefore ? kFactors : Factors::kNone;
  for (size_t row = 0; row < rows.count; ++row) {
    float* values = rows.first + row * rows.stride;
    for (size_t run = 0; run < rows.part; run += kRun) {
      HadamardRows<kRegisterVectors, kWithin>({values + run, 1, 0, kRun}, factors + run);
    }
    for (size_t half = kRun; half < rows.part; half *= 2) {
      for (size_t begin = 0; begin < rows.part; begin += 2 * half) {
        for (size_t i = begin; i < begin + half; i += kLanes) {
          const F32 x = hn::LoadU(kF32, values + i), y = hn::LoadU(kF32, values + i + half);
          hn::StoreU(hn::Add(x, y), kF32, values + i);
          hn::StoreU(hn::Sub(x, y), kF32, values + i + half);
        }
      }
    }
    if constexpr (kFactors == Factors::kAfter) {
      for (size_t i = 0; i < rows.part; i += kLanes) {
        const F32 value = hn::LoadU(kF32, values + i);
        hn::StoreU(hn::Mul(value, hn::LoadU(kF32, factors + i)), kF32, values + i);
      }
    }
  }
}

template <Factors kFactors>
void Hadamard(const RowParts& rows, const float* factors) {
  switch (rows.part / kLanes) {
    case 1:
      return HadamardRows<1, kFactors>(rows, factors);
    case 2:
      return HadamardRows<2, kFactors>(rows, factors);
    case 4:
      return HadamardRows<4, kFactors>(rows, factors);
    case 8:
      return HadamardRows<8, kFactors>(rows, factors);
    case 16:
      return HadamardRows<16, kFactors>(rows, factors);
    default:
      return HadamardWide<kFactors>(rows, factors);
  }
}

void Rotate(const RowParts& rows, const float* factors) {
  Hadamard<Factors::kBefore>(rows, factors);
}

void RotateBack(const RowParts& rows, const float* factors) {
  Hadamard<Factors::kAfter>(rows, factors);
}

}  // namespace

const RotationOps& TargetRotationOps() {
  static constexpr RotationOps kOps = {.rotate = Rotate, .rotate_back = RotateBack};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetRotationOps);

const RotationOps& SimdRotationOps() { return HWY_DYNAMIC_DISPATCH(TargetRotationOps)(); }

}  // namespace larder
#endif
