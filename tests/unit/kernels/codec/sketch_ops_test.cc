#include "kernels/codec/sketch_ops.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

std::vector<float> Normals(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

TEST(SketchOpsTest, MultiplyIsTheDotOfEachColumn) {
  constexpr size_t kInner = 80, kOuter = 48, kRows = 7;
  const std::vector<float> matrix = Normals(kInner * kOuter, 1),
                           weights = Normals(kRows * kInner, 2);
  std::vector<float> out(kRows * kOuter);
  SketchOpsOf(Isa::kScalar)
      .multiply({matrix.data(), kInner, kOuter, weights.data(), out.data(), kRows});
  for (size_t row = 0; row < kRows; ++row) {
    for (size_t c = 0; c < kOuter; ++c) {
      std::vector<float> column(kInner);
      for (size_t i = 0; i < kInner; ++i) column[i] = matrix[i * kOuter + c];
      EXPECT_EQ(out[row * kOuter + c],
                VectorOpsOf(Isa::kScalar).dot(&weights[row * kInner], column.data(), kInner));
    }
  }
}

TEST(SketchOpsTest, SimdEqualsTheReference) {
  const SketchOps& scalar = SketchOpsOf(Isa::kScalar);
  ForEachTarget([&] {
    const SketchOps& simd = SketchOpsOf(Isa::kSimd);
    for (const size_t inner : {16u, 80u, 128u}) {
      for (const size_t outer : {16u, 48u, 256u}) {
        const std::vector<float> matrix = Normals(inner * outer, 1),
                                 weights = Normals(11 * inner, 2);
        std::vector<float> want(11 * outer), got(11 * outer);
        scalar.multiply({matrix.data(), inner, outer, weights.data(), want.data(), 11});
        simd.multiply({matrix.data(), inner, outer, weights.data(), got.data(), 11});
        EXPECT_EQ(want, got) << inner << "x" << outer;
        want[3] = -0.0f;
        std::vector<uint8_t> want_bits(want.size() / 8), got_bits(want_bits);
        scalar.signs(want.data(), want_bits.data(), want.size());
        simd.signs(want.data(), got_bits.data(), want.size());
        EXPECT_EQ(want_bits, got_bits);
        scalar.unsigns(want_bits.data(), want.data(), want.size());
        simd.unsigns(want_bits.data(), got.data(), want.size());
        EXPECT_EQ(want, got);
      }
    }
  });
}

TEST(SketchOpsTest, SignsAreBitsFromTheLowestOn) {
  std::vector<float> values(16, -1.0f);
  values[1] = 2.0f;
  values[2] = 0.0f;
  values[15] = 1e-40f;
  uint8_t bits[2];
  SketchOpsOf(Isa::kScalar).signs(values.data(), bits, 16);
  EXPECT_EQ(bits[0], 0x06);
  EXPECT_EQ(bits[1], 0x80);
}

}  // namespace
}  // namespace larder
