// The SIMD twin of codebook_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/codebook_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <cmath>

#include "kernels/codec/codebook_ops.h"
#include "kernels/codec/codebook_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const CodebookOps& TargetCodebookOps() { return CodebookOpsOf(Isa::kScalar); }

#else
namespace {

#include "kernels/codec/simd_lanes.inc"

// k of lloyd_max.h and the magnitude of the codebook's value.
struct Levels {
  U32 level;
  F32 magnitude;
};

template <unsigned kBits>
HWY_INLINE Levels LevelsOf(F32 magnitude, const Codebook& book) {
  U32 level = hn::Zero(kU32);
  F32 value = hn::Set(kF32, book.magnitudes[0]);
  for (unsigned i = 0; i + 1 < 1u << (kBits - 1); ++i) {
    const auto above = hn::Ge(magnitude, hn::Set(kF32, book.thresholds[i]));
    level = hn::IfThenElse(hn::RebindMask(kU32, above), hn::Set(kU32, i + 1), level);
    value = hn::IfThenElse(above, hn::Set(kF32, book.magnitudes[i + 1]), value);
  }
  return {level, value};
}

template <unsigned kBits>
CodedRow EncodeBits(const float* row, size_t dim, const Codebook& book, uint8_t* codes) {
  CodedRow coded;
  coded.energy = SumTree(dim, [&](size_t i) HWY_ATTR {
    const F32 value = hn::LoadU(kF32, row + i);
    return hn::Mul(value, value);
  });
  coded.rms = std::sqrt(coded.energy / static_cast<float>(dim));
  const F32 inverse = hn::Set(kF32, coded.rms > 0 ? 1.0f / coded.rms : 0.0f);
  const U32 half = hn::Set(kU32, 1u << (kBits - 1)), all = hn::Set(kU32, (1u << kBits) - 1);
  coded.product = SumTree(dim, [&](size_t i) HWY_ATTR {
    const F32 value = hn::LoadU(kF32, row + i);
    const U32 negative =
        hn::BitCast(kU32, hn::ShiftRight<31>(hn::BitCast(kI32, value)));  // the inverse has no sign
    const F32 magnitude = hn::Abs(value);
    const Levels levels = LevelsOf<kBits>(hn::Mul(magnitude, inverse), book);
    const U32 code = hn::Xor(hn::Or(levels.level, half), hn::And(negative, all));
    hn::StoreU(hn::TruncateTo(kU8, code), kU8, codes + i);
    return hn::Mul(magnitude, levels.magnitude);
  });
  return coded;
}

CodedRow Encode(const float* row, size_t dim, const Codebook& book, uint8_t* codes) {
  switch (book.bits) {
    case 1:
      return EncodeBits<1>(row, dim, book, codes);
    case 2:
      return EncodeBits<2>(row, dim, book, codes);
    case 3:
      return EncodeBits<3>(row, dim, book, codes);
    default:
      return EncodeBits<4>(row, dim, book, codes);
  }
}

void Decode(const uint8_t* codes, size_t dim, const Codebook& book, float scale, float* row) {
  const Table16 table(book.values.data());
  const F32 by = hn::Set(kF32, scale);
  for (size_t i = 0; i < dim; i += hn::Lanes(kF32)) {
    const U32 code = hn::PromoteTo(kU32, hn::LoadU(kU8, codes + i));
    hn::StoreU(hn::Mul(table[code], by), kF32, row + i);
  }
}

}  // namespace

const CodebookOps& TargetCodebookOps() {
  static constexpr CodebookOps kOps = {.encode = Encode, .decode = Decode};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetCodebookOps);

const CodebookOps& SimdCodebookOps() { return HWY_DYNAMIC_DISPATCH(TargetCodebookOps)(); }

}  // namespace larder
#endif
