// The SIMD twin of polar_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/polar_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <bit>
#include <cstring>

#include "kernels/codec/polar_ops.h"
#include "kernels/codec/polar_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const PolarOps& TargetPolarOps() { return PolarOpsOf(Isa::kScalar); }

#else
namespace {

#include "kernels/codec/simd_lanes.inc"

template <unsigned kBins, bool kWholeCircle>
HWY_INLINE void SplitVector(const float* pairs, const AngleBook& book, float* radii,
                            uint8_t* codes) {
  F32 x, y;
  hn::LoadInterleaved2(kF32, pairs, x, y);
  hn::StoreU(hn::Sqrt(hn::Add(hn::Mul(x, x), hn::Mul(y, y))), kF32, radii);
  const F32 abs_x = hn::Abs(x), abs_y = hn::Abs(y);
  U32 code = hn::Zero(kU32);
  for (unsigned k = 0; k + 1 < kBins; ++k) {
    const auto above = hn::Ge(abs_y, hn::Mul(hn::Set(kF32, book.tangents[k]), abs_x));
    // Thresholds ascend: the last one that is reached decides.
    code = hn::IfThenElse(hn::RebindMask(kU32, above), hn::Set(kU32, k + 1), code);
  }
  if constexpr (kWholeCircle) {
    constexpr int kShift = std::countr_zero(kBins);
    const U32 x_sign = hn::ShiftRight<31>(hn::BitCast(kU32, x));
    const U32 y_sign = hn::ShiftRight<31>(hn::BitCast(kU32, y));
    code = hn::Or(code, hn::Or(hn::ShiftLeft<kShift>(x_sign), hn::ShiftLeft<kShift + 1>(y_sign)));
  }
  hn::StoreU(hn::TruncateTo(kU8, code), kU8, codes);
}

template <unsigned kBins, bool kWholeCircle>
void SplitAll(const float* pairs, size_t count, const AngleBook& book, float* radii,
              uint8_t* codes) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    SplitVector<kBins, kWholeCircle>(pairs + 2 * i, book, radii + i, codes + i);
  }
  if (i == count) return;
  float some_pairs[2 * kLanes] = {}, some_radii[kLanes];
  uint8_t some_codes[kLanes];
  const size_t left = count - i;
  std::memcpy(some_pairs, pairs + 2 * i, 2 * left * sizeof(float));
  SplitVector<kBins, kWholeCircle>(some_pairs, book, some_radii, some_codes);
  std::memcpy(radii + i, some_radii, left * sizeof(float));
  std::memcpy(codes + i, some_codes, left);
}

template <unsigned kBins>
void SplitBins(const float* pairs, size_t count, const AngleBook& book, float* radii,
               uint8_t* codes) {
  if (book.whole_circle) {
    SplitAll<kBins, true>(pairs, count, book, radii, codes);
  } else {
    SplitAll<kBins, false>(pairs, count, book, radii, codes);
  }
}

void Split(const float* pairs, size_t count, const AngleBook& book, float* radii, uint8_t* codes) {
  if (book.bins == 2) return SplitBins<2>(pairs, count, book, radii, codes);
  if (book.bins == 4) return SplitBins<4>(pairs, count, book, radii, codes);
  SplitBins<8>(pairs, count, book, radii, codes);
}

// Cosines and sines of a book, as vectors.
template <unsigned kBins>
class Turns {
 public:
  HWY_INLINE explicit Turns(const AngleBook& book)
      : cosines_(book.cosines.data()), sines_(book.sines.data()) {}

  HWY_INLINE void Join(const float* radii, const uint8_t* codes, float* pairs) const {
    constexpr int kShift = std::countr_zero(kBins);
    const F32 radius = hn::LoadU(kF32, radii);
    const U32 code = hn::PromoteTo(kU32, hn::LoadU(kU8, codes));
    const U32 k = hn::And(code, hn::Set(kU32, kBins - 1));
    const U32 sign = hn::Set(kU32, 0x80000000u);
    const U32 x_sign = hn::And(hn::ShiftLeft<31 - kShift>(code), sign);
    const U32 y_sign = hn::And(hn::ShiftLeft<30 - kShift>(code), sign);
    const F32 x = hn::Mul(radius, cosines_[k]), y = hn::Mul(radius, sines_[k]);
    hn::StoreInterleaved2(hn::BitCast(kF32, hn::Xor(hn::BitCast(kU32, x), x_sign)),
                          hn::BitCast(kF32, hn::Xor(hn::BitCast(kU32, y), y_sign)), kF32, pairs);
  }

 private:
  Table16 cosines_;
  Table16 sines_;
};

template <unsigned kBins>
void JoinAll(const float* radii, const uint8_t* codes, size_t count, const AngleBook& book,
             float* pairs) {
  const Turns<kBins> turns(book);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) turns.Join(radii + i, codes + i, pairs + 2 * i);
  if (i == count) return;
  float some_pairs[2 * kLanes], some_radii[kLanes] = {};
  uint8_t some_codes[kLanes] = {};
  const size_t left = count - i;
  std::memcpy(some_radii, radii + i, left * sizeof(float));
  std::memcpy(some_codes, codes + i, left);
  turns.Join(some_radii, some_codes, some_pairs);
  std::memcpy(pairs + 2 * i, some_pairs, 2 * left * sizeof(float));
}

void Join(const float* radii, const uint8_t* codes, size_t count, const AngleBook& book,
          float* pairs) {
  if (book.bins == 2) return JoinAll<2>(radii, codes, count, book, pairs);
  if (book.bins == 4) return JoinAll<4>(radii, codes, count, book, pairs);
  JoinAll<8>(radii, codes, count, book, pairs);
}

}  // namespace

const PolarOps& TargetPolarOps() {
  static constexpr PolarOps kOps = {.split = Split, .join = Join};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetPolarOps);

const PolarOps& SimdPolarOps() { return HWY_DYNAMIC_DISPATCH(TargetPolarOps)(); }

}  // namespace larder
#endif
