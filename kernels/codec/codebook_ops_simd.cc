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

// One comparison per threshold.
template <unsigned kBits>
class Chain {
 public:
  HWY_INLINE Levels operator()(F32 magnitude) const {
    U32 level = hn::Zero(kU32);
    F32 value = hn::Set(kF32, kBook.magnitudes[0]);
    for (unsigned i = 0; i + 1 < 1u << (kBits - 1); ++i) {
      const auto above = hn::Ge(magnitude, hn::Set(kF32, kBook.thresholds[i]));
      level = hn::IfThenElse(hn::RebindMask(kU32, above), hn::Set(kU32, i + 1), level);
      value = hn::IfThenElse(above, hn::Set(kF32, kBook.magnitudes[i + 1]), value);
    }
    return {level, value};
  }

 private:
  static constexpr const Codebook& kBook = kLloydMax[kBits - 1];
};

// For 4 bits and 16 lanes: the magnitude, rounded to a quarter, says which one of the seven thresholds
// is left to compare with, as no two share a quarter.
struct Quarters {
  uint32_t levels[16];   // k of magnitudes below the quarter's threshold
  float thresholds[16];  // beyond every magnitude where the quarter has none
  float magnitudes[16];
};

constexpr Quarters MakeQuarters() {
  Quarters quarters{};
  const Codebook& book = kLloydMax[3];
  for (unsigned quarter = 0; quarter < 16; ++quarter) {
    quarters.thresholds[quarter] = 3e38f;
    quarters.magnitudes[quarter] = book.magnitudes[quarter % 8];
    for (const float threshold : book.thresholds) {
      const auto at = static_cast<unsigned>(threshold * 4 + 0.5f);
      if (at < quarter) ++quarters.levels[quarter];
      if (at == quarter) quarters.thresholds[quarter] = threshold;
    }
  }
  return quarters;
}

class ByQuarter {
 public:
  HWY_INLINE ByQuarter()
      : levels_(hn::LoadU(kU32, kQuarters.levels)),
        thresholds_(kQuarters.thresholds),
        magnitudes_(kQuarters.magnitudes) {}

  HWY_INLINE Levels operator()(F32 magnitude) const {
    // The ulp of 2^21 is a quarter.
    const F32 rounded = hn::Add(hn::Min(magnitude, hn::Set(kF32, 3.75f)), hn::Set(kF32, 0x1p21f));
    const U32 quarter = hn::And(hn::BitCast(kU32, rounded), hn::Set(kU32, 15u));
    const auto above = hn::RebindMask(kU32, hn::Ge(magnitude, thresholds_[quarter]));
    const U32 below = hn::TableLookupLanes(levels_, hn::IndicesFromVec(kU32, quarter));
    const U32 level = hn::IfThenElse(above, hn::Add(below, hn::Set(kU32, 1u)), below);
    return {level, magnitudes_[level]};
  }

 private:
  static constexpr Quarters kQuarters = MakeQuarters();
  U32 levels_;
  Table16 thresholds_;
  Table16 magnitudes_;
};

constexpr size_t kRowsAtOnce = 16;  // their square roots and divisions overlap

template <unsigned kBits, class LevelsOf>
void EncodeRows(const CodeRows& rows, const LevelsOf& levels_of, CodedRow* coded) {
  const U32 half = hn::Set(kU32, 1u << (kBits - 1)), all = hn::Set(kU32, (1u << kBits) - 1);
  for (size_t i = 0; i < rows.count; ++i) {
    const float* row = rows.rows + i * rows.dim;
    coded[i].energy = SumTree(rows.dim, [&](size_t at) HWY_ATTR {
      const F32 value = hn::LoadU(kF32, row + at);
      return hn::Mul(value, value);
    });
  }
  float inverses[kRowsAtOnce];
  for (size_t i = 0; i < rows.count; ++i) {
    coded[i].rms = std::sqrt(coded[i].energy / static_cast<float>(rows.dim));
    inverses[i] = coded[i].rms > 0 ? 1.0f / coded[i].rms : 0.0f;
  }
  for (size_t i = 0; i < rows.count; ++i) {
    const float* row = rows.rows + i * rows.dim;
    uint8_t* codes = rows.codes + i * rows.stride;
    const F32 inverse = hn::Set(kF32, inverses[i]);
    coded[i].product = SumTree(rows.dim, [&](size_t at) HWY_ATTR {
      const F32 value = hn::LoadU(kF32, row + at);
      const F32 magnitude = hn::Abs(value);  // the inverse has no sign
      const Levels levels = levels_of(hn::Mul(magnitude, inverse));
      const U32 flip = hn::BitCast(kU32, hn::ShiftRight<31>(hn::BitCast(kI32, value)));
      const U32 code = hn::Xor(hn::Or(levels.level, half), hn::And(flip, all));
      hn::StoreU(hn::TruncateTo(kU8, code), kU8, codes + at);
      return hn::Mul(magnitude, levels.magnitude);
    });
  }
}

void Encode(const CodeRows& rows, const Codebook& book, CodedRow* coded) {
  for (size_t begin = 0; begin < rows.count; begin += kRowsAtOnce) {
    CodeRows some = rows;
    some.rows += begin * rows.dim;
    some.codes += begin * rows.stride;
    some.count = HWY_MIN(kRowsAtOnce, rows.count - begin);
    if (book.bits == 1) {
      EncodeRows<1>(some, Chain<1>(), coded + begin);
    } else if (book.bits == 2) {
      EncodeRows<2>(some, Chain<2>(), coded + begin);
    } else if (book.bits == 3) {
      EncodeRows<3>(some, Chain<3>(), coded + begin);
    } else if constexpr (kLanes >= 16) {
      EncodeRows<4>(some, ByQuarter(), coded + begin);
    } else {
      EncodeRows<4>(some, Chain<4>(), coded + begin);
    }
  }
}

void Decode(const CodeRows& rows, const Codebook& book, const float* scales) {
  const Table16 table(book.values.data());
  for (size_t row = 0; row < rows.count; ++row) {
    const uint8_t* codes = rows.codes + row * rows.stride;
    float* values = rows.rows + row * rows.dim;
    const F32 by = hn::Set(kF32, scales[row]);
    for (size_t i = 0; i < rows.dim; i += kLanes) {
      const U32 code = hn::PromoteTo(kU32, hn::LoadU(kU8, codes + i));
      hn::StoreU(hn::Mul(table[code], by), kF32, values + i);
    }
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
