// The SIMD twin of pair_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/pair_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <cstddef>

#include "kernels/codec/pair_ops.h"
#include "kernels/codec/pair_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const PairOps& TargetPairOps() { return PairOpsOf(Isa::kScalar); }

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// At most 8 lanes: the number of pairs is a multiple of 8.
constexpr hn::CappedTag<float, 8> kD;
constexpr hn::RebindToUnsigned<decltype(kD)> kDu;
constexpr hn::RebindToSigned<decltype(kD)> kDi;
constexpr hn::Rebind<uint8_t, decltype(kD)> kD8;
using F = hn::Vec<decltype(kD)>;
using U = hn::Vec<decltype(kDu)>;

HWY_INLINE F Constant(float value) { return hn::Set(kD, value); }

template <size_t kCount>
HWY_INLINE F Horner(const float (&coefficients)[kCount], F at) {
  F sum = Constant(coefficients[kCount - 1]);
  for (size_t i = kCount - 1; i-- > 0;) {
    sum = hn::Add(Constant(coefficients[i]), hn::Mul(at, sum));
  }
  return sum;
}

HWY_INLINE F AngleOf(F x, F y) {
  const F zero = hn::Zero(kD);
  const F abs_x = hn::Abs(x), abs_y = hn::Abs(y);
  const auto steep = hn::Lt(abs_x, abs_y);
  const F large = hn::IfThenElse(steep, abs_y, abs_x), small = hn::IfThenElse(steep, abs_x, abs_y);
  const auto some = hn::Gt(large, zero);
  const F t = hn::IfThenElseZero(some, hn::Div(small, hn::IfThenElse(some, large, Constant(1))));
  F angle = hn::Mul(t, Horner(kArctangent, hn::Mul(t, t)));
  angle = hn::IfThenElse(steep, hn::Sub(Constant(kQuarterTurn), angle), angle);
  angle = hn::IfThenElse(hn::Lt(x, zero), hn::Sub(Constant(kHalfTurn), angle), angle);
  return hn::IfThenElse(hn::Lt(y, zero), hn::Sub(Constant(kWholeTurn), angle), angle);
}

void Split(const float* row, size_t pairs, float* radii, float* angles) {
  for (size_t j = 0; j < pairs; j += hn::Lanes(kD)) {
    const F x = hn::LoadU(kD, row + j), y = hn::LoadU(kD, row + pairs + j);
    hn::StoreU(hn::Sqrt(hn::Add(hn::Mul(x, x), hn::Mul(y, y))), kD, radii + j);
    hn::StoreU(AngleOf(x, y), kD, angles + j);
  }
}

void Range(const float* values, size_t count, size_t pairs, float* least, float* largest) {
  for (size_t j = 0; j < pairs; j += hn::Lanes(kD)) {
    F low = hn::LoadU(kD, values + j), high = low;
    for (size_t row = 1; row < count; ++row) {
      const F value = hn::LoadU(kD, values + row * pairs + j);
      low = hn::Min(low, value);
      high = hn::Max(high, value);
    }
    hn::StoreU(low, kD, least + j);
    hn::StoreU(high, kD, largest + j);
  }
}

HWY_INLINE F WrappedBelow(F bound, F angle) {
  return hn::IfThenElse(hn::Lt(angle, bound), hn::Add(angle, Constant(kWholeTurn)), angle);
}

void Unwrap(float* angles, size_t count, size_t pairs) {
  const F half = Constant(kHalfTurn);
  for (size_t j = 0; j < pairs; j += hn::Lanes(kD)) {
    F least = hn::LoadU(kD, angles + j), largest = least;
    F low = WrappedBelow(half, least), high = low;
    for (size_t row = 1; row < count; ++row) {
      const F angle = hn::LoadU(kD, angles + row * pairs + j), wrapped = WrappedBelow(half, angle);
      least = hn::Min(least, angle);
      largest = hn::Max(largest, angle);
      low = hn::Min(low, wrapped);
      high = hn::Max(high, wrapped);
    }
    const auto narrower = hn::Lt(hn::Sub(high, low), hn::Sub(largest, least));
    if (hn::AllFalse(kD, narrower)) continue;
    const F bound = hn::IfThenElseZero(narrower, half);
    for (size_t row = 0; row < count; ++row) {
      float* angle = angles + row * pairs + j;
      hn::StoreU(WrappedBelow(bound, hn::LoadU(kD, angle)), kD, angle);
    }
  }
}

HWY_INLINE U CodeOf(F value, F least, F step) {
  const F zero = hn::Zero(kD);
  const auto some = hn::Gt(step, zero);
  const F inverse =
      hn::IfThenElseZero(some, hn::Div(Constant(1), hn::IfThenElse(some, step, Constant(1))));
  const F scaled = hn::Mul(hn::Sub(value, least), inverse);
  // In this order a value that is not a number becomes 0, as in the reference.
  const F positive = hn::IfThenElseZero(hn::Gt(scaled, zero), scaled);
  const F bounded = hn::IfThenElse(hn::Lt(positive, Constant(15)), positive, Constant(15));
  return hn::BitCast(kDu, hn::ConvertTo(kDi, bounded));
}

void Encode(const float* radii, const float* angles, size_t pairs, const PairRanges& ranges,
            uint8_t* codes) {
  for (size_t j = 0; j < pairs; j += hn::Lanes(kD)) {
    const U radius = CodeOf(hn::LoadU(kD, radii + j), hn::LoadU(kD, ranges.radius_least + j),
                            hn::LoadU(kD, ranges.radius_step + j));
    const U angle = CodeOf(hn::LoadU(kD, angles + j), hn::LoadU(kD, ranges.angle_least + j),
                           hn::LoadU(kD, ranges.angle_step + j));
    hn::StoreU(hn::TruncateTo(kD8, hn::Or(hn::ShiftLeft<4>(radius), angle)), kD8, codes + j);
  }
}

// Middle of the bin.
HWY_INLINE F ValueOf(U code, const float* least, const float* step) {
  const F middle = hn::Add(hn::ConvertTo(kD, hn::BitCast(kDi, code)), Constant(0.5f));
  return hn::Add(hn::LoadU(kD, least), hn::Mul(middle, hn::LoadU(kD, step)));
}

HWY_INLINE F NegateWhere(U bit_one, F value) {
  const U sign = hn::ShiftLeft<31>(hn::ShiftRight<1>(bit_one));
  return hn::BitCast(kD, hn::Xor(hn::BitCast(kDu, value), sign));
}

void Decode(const uint8_t* codes, size_t pairs, const PairRanges& ranges, float* row) {
  const U one = hn::Set(kDu, 1u), two = hn::Set(kDu, 2u);
  for (size_t j = 0; j < pairs; j += hn::Lanes(kD)) {
    const U code = hn::PromoteTo(kDu, hn::LoadU(kD8, codes + j));
    const F radius =
        ValueOf(hn::ShiftRight<4>(code), ranges.radius_least + j, ranges.radius_step + j);
    const F angle =
        ValueOf(hn::And(code, hn::Set(kDu, 15u)), ranges.angle_least + j, ranges.angle_step + j);
    const auto whole =
        hn::ConvertTo(kDi, hn::Add(hn::Mul(angle, Constant(kQuartersPerRadian)), Constant(0.5f)));
    const U quarter = hn::BitCast(kDu, whole);
    const F rest = hn::Sub(angle, hn::Mul(hn::ConvertTo(kD, whole), Constant(kQuarterTurn)));
    const F square = hn::Mul(rest, rest);
    const F cosine = hn::Add(Constant(1), hn::Mul(square, Horner(kCosine, square)));
    const F sine = hn::Add(rest, hn::Mul(rest, hn::Mul(square, Horner(kSine, square))));
    const auto odd = hn::RebindMask(kD, hn::Eq(hn::And(quarter, one), one));
    const F x = hn::IfThenElse(odd, sine, cosine), y = hn::IfThenElse(odd, cosine, sine);
    const U x_minus = hn::And(hn::Add(quarter, one), two), y_minus = hn::And(quarter, two);
    hn::StoreU(hn::Mul(radius, NegateWhere(x_minus, x)), kD, row + j);
    hn::StoreU(hn::Mul(radius, NegateWhere(y_minus, y)), kD, row + pairs + j);
  }
}

}  // namespace

const PairOps& TargetPairOps() {
  static constexpr PairOps kOps = {
      .split = Split, .range = Range, .unwrap = Unwrap, .encode = Encode, .decode = Decode};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetPairOps);

const PairOps& SimdPairOps() { return HWY_DYNAMIC_DISPATCH(TargetPairOps)(); }

}  // namespace larder
#endif
