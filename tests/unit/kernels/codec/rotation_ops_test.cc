#include "kernels/codec/rotation_ops.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

TEST(RotationOpsTest, SimdEqualsTheReference) {
  const RotationOps& scalar = RotationOpsOf(Isa::kScalar);
  ForEachTarget([&] {
    const RotationOps& simd = RotationOpsOf(Isa::kSimd);
    for (size_t part = 16; part <= 1024; part *= 2) {
      const size_t stride = part + 16, count = 3;
      std::mt19937_64 random(part);
      std::normal_distribution<float> normal;
      std::vector<float> want(stride * count), factors(part);
      for (float& value : want) value = normal(random);
      for (float& value : factors) value = normal(random);
      std::vector<float> got = want;
      scalar.rotate({want.data(), count, stride, part}, factors.data());
      simd.rotate({got.data(), count, stride, part}, factors.data());
      EXPECT_EQ(want, got) << part;
      scalar.rotate_back({want.data(), count, stride, part}, factors.data());
      simd.rotate_back({got.data(), count, stride, part}, factors.data());
      EXPECT_EQ(want, got) << part;
    }
  });
}

TEST(RotationOpsTest, BackUndoesForth) {
  std::vector<float> values(32), signs(32), back(32);
  for (size_t i = 0; i < 32; ++i) {
    values[i] = static_cast<float>(i) - 7;
    signs[i] = i % 3 == 0 ? -1.0f : 1.0f;
    back[i] = signs[i] / 32;
  }
  const std::vector<float> before = values;
  for (const Isa isa : {Isa::kScalar, Isa::kSimd}) {
    RotationOpsOf(isa).rotate({values.data(), 1, 32, 32}, signs.data());
    EXPECT_NE(values, before);
    RotationOpsOf(isa).rotate_back({values.data(), 1, 32, 32}, back.data());
    EXPECT_EQ(values, before);
  }
}

}  // namespace
}  // namespace larder
