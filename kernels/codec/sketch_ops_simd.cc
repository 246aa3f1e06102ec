// The SIMD twin of sketch_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/sketch_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <cstring>

#include "kernels/codec/sketch_ops.h"
#include "kernels/codec/sketch_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const SketchOps& TargetSketchOps() { return SketchOpsOf(Isa::kScalar); }

#else
namespace {

#include "kernels/codec/simd_lanes.inc"

constexpr size_t kRowsAtOnce = 4;  // that share a load of the matrix

struct Sums {
  F32 a, b, c, d;
};

HWY_INLINE Sums Add(const Sums& x, const Sums& y) {
  return {hn::Add(x.a, y.a), hn::Add(x.b, y.b), hn::Add(x.c, y.c), hn::Add(x.d, y.d)};
}

// The columns from `at` on, of four rows. Node kStep of lane l is the sum of the lanes l, l + kStep,
// l + 2 kStep, ... in the tree's order.
class Columns {
 public:
  HWY_INLINE Columns(const MatrixProduct& product, size_t row, size_t at)
      : product_(product),
        weights_(product.weights + row * product.inner),
        matrix_(product.matrix + at) {}

  template <size_t kStep>
  HWY_INLINE Sums Node(size_t lane) const {
    if constexpr (kStep == 32) {
      return Lane(lane);
    } else {
      const Sums first = Node<2 * kStep>(lane);
      return Add(first, Node<2 * kStep>(lane + kStep));
    }
  }

 private:
  HWY_INLINE Sums Lane(size_t lane) const {
    const F32 zero = hn::Zero(kF32);
    Sums sums{zero, zero, zero, zero};
    const size_t inner = product_.inner;
    for (size_t i = lane; i < inner; i += 32) {
      const F32 line = hn::LoadU(kF32, matrix_ + i * product_.outer);
      const float* weight = weights_ + i;
      sums.a = hn::Add(sums.a, hn::Mul(hn::Set(kF32, weight[0]), line));
      sums.b = hn::Add(sums.b, hn::Mul(hn::Set(kF32, weight[inner]), line));
      sums.c = hn::Add(sums.c, hn::Mul(hn::Set(kF32, weight[2 * inner]), line));
      sums.d = hn::Add(sums.d, hn::Mul(hn::Set(kF32, weight[3 * inner]), line));
    }
    return sums;
  }

  const MatrixProduct& product_;
  const float* weights_;
  const float* matrix_;
};

void Multiply(const MatrixProduct& product) {
  const size_t outer = product.outer;
  size_t row = 0;
  for (; row + kRowsAtOnce <= product.rows; row += kRowsAtOnce) {
    float* out = product.out + row * outer;
    for (size_t at = 0; at < outer; at += kLanes) {
      const Sums sums = Columns(product, row, at).Node<1>(0);
      hn::StoreU(sums.a, kF32, out + at);
      hn::StoreU(sums.b, kF32, out + outer + at);
      hn::StoreU(sums.c, kF32, out + 2 * outer + at);
      hn::StoreU(sums.d, kF32, out + 3 * outer + at);
    }
  }
  for (; row < product.rows; ++row) {
    MatrixProduct rest = product;
    rest.weights += row * product.inner;
    rest.out += row * outer;
    rest.rows = 1;
    SketchOpsOf(Isa::kScalar).multiply(rest);
  }
}

void Signs(const float* values, uint8_t* bits, size_t count) {
  const F32 sign = hn::BitCast(kF32, hn::Set(kU32, 0x80000000u));
  for (size_t i = 0; i < count; i += 16) {
    uint32_t word = 0;
    for (size_t at = 0; at < 16; at += kLanes) {
      const auto set = hn::And(hn::LoadU(kF32, values + i + at), sign);
      const auto mask = hn::Eq(hn::BitCast(kU32, set), hn::Zero(kU32));
      uint8_t each[8] = {};
      hn::StoreMaskBits(kU32, mask, each);
      uint32_t part;
      std::memcpy(&part, each, 4);
      word |= part << at;
    }
    const auto both = static_cast<uint16_t>(word);
    std::memcpy(bits + i / 8, &both, 2);
  }
}

void Unsigns(const uint8_t* bits, float* values, size_t count) {
  const U32 lane = hn::Iota(kU32, 0u), one = hn::Set(kU32, 0x3F800000u);
  for (size_t i = 0; i < count; i += 16) {
    uint16_t word;
    std::memcpy(&word, bits + i / 8, 2);
    for (size_t at = 0; at < 16; at += kLanes) {
      const U32 shifted = hn::Shr(hn::Set(kU32, uint32_t{word} >> at), lane);
      const U32 minus = hn::ShiftLeft<31>(hn::Not(shifted));
      hn::StoreU(hn::BitCast(kF32, hn::Or(one, minus)), kF32, values + i + at);
    }
  }
}

}  // namespace

const SketchOps& TargetSketchOps() {
  static constexpr SketchOps kOps = {.multiply = Multiply, .signs = Signs, .unsigns = Unsigns};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetSketchOps);

const SketchOps& SimdSketchOps() { return HWY_DYNAMIC_DISPATCH(TargetSketchOps)(); }

}  // namespace larder
#endif
