#include "kernels/codec/ggml_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

using Batch = std::array<float, kGgmlBatch>;

// A batch of groups as one type of element, and the pointers to them.
struct Groups {
  explicit Groups(ElementType element_type, uint64_t seed) : type(element_type) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    floats.resize(kGgmlBatch * kGgmlGroup);
    halfs.resize(floats.size());
    for (size_t i = 0; i < floats.size(); ++i) {
      floats[i] = normal(random) * (seed % 2 == 0 ? 1.0f : 100.0f);
      if (i < kGgmlGroup) floats[i] = i % 3 == 0 ? -0.0f : 0.0f;
      if (type != ElementType::kF32) StoreElement(type, floats[i], halfs.data(), i);
    }
    Point();
  }
  void Point() {
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i] = type == ElementType::kF32 ? static_cast<void*>(floats.data() + i * kGgmlGroup)
                                          : static_cast<void*>(halfs.data() + i * kGgmlGroup);
    }
  }
  // All values of a group of one sign, none 0.
  void MakeOneSided(size_t group, float sign) {
    for (size_t i = group * kGgmlGroup; i < (group + 1) * kGgmlGroup; ++i) {
      floats[i] = sign * (1 + FloatOfBits(BitsOf(floats[i]) & 0x7FFFFFFF));
      if (type != ElementType::kF32) StoreElement(type, floats[i], halfs.data(), i);
    }
  }
  SourceElements source() const { return {type, rows.data()}; }
  TargetElements target() const { return {type, rows.data()}; }

  ElementType type;
  std::vector<float> floats;
  std::vector<uint16_t> halfs;
  std::array<void*, kGgmlBatch> rows;
};

constexpr ElementType kTypes[] = {ElementType::kF32, ElementType::kBf16, ElementType::kFp16};

TEST(GgmlOpsTest, RangesAndScalesAreThoseOfTheReference) {
  const GgmlOps& scalar = GgmlOpsOf(Isa::kScalar);
  for (const ElementType type : kTypes) {
    Groups groups(type, 1);
    groups.MakeOneSided(1, 1.0f);
    groups.MakeOneSided(2, -1.0f);
    for (size_t i = 0; i < kGgmlFormats; ++i) {
      const auto format = static_cast<GgmlFormat>(i);
      Batch lows, highs, scales, inverses;
      std::array<uint16_t, kGgmlBatch> stored;
      ASSERT_TRUE(scalar.ranges(format, groups.source(), lows.data(), highs.data()));
      EXPECT_EQ(BitsOf(lows[0]), 0u);  // a group of zeros of both signs
      EXPECT_EQ(BitsOf(highs[0]), 0u);
      EXPECT_EQ(lows[1] > 0, BlockOf(format).has_minimum);
      EXPECT_EQ(highs[2] < 0, BlockOf(format).has_minimum);
      scalar.scales(format, lows.data(), highs.data(), scales.data());
      ASSERT_TRUE(scalar.store_scales(scales.data(), stored.data(), inverses.data()));
      ForEachTarget([&] {
        const GgmlOps& simd = GgmlOpsOf(Isa::kSimd);
        Batch simd_lows, simd_highs, simd_scales, simd_inverses;
        std::array<uint16_t, kGgmlBatch> simd_stored;
        ASSERT_TRUE(simd.ranges(format, groups.source(), simd_lows.data(), simd_highs.data()));
        for (size_t group = 0; group < kGgmlBatch; ++group) {
          EXPECT_EQ(BitsOf(simd_lows[group]), BitsOf(lows[group])) << i << ' ' << group;
          EXPECT_EQ(BitsOf(simd_highs[group]), BitsOf(highs[group])) << i << ' ' << group;
        }
        simd.scales(format, lows.data(), highs.data(), simd_scales.data());
        ASSERT_TRUE(
            simd.store_scales(simd_scales.data(), simd_stored.data(), simd_inverses.data()));
        EXPECT_EQ(simd_scales, scales);
        EXPECT_EQ(simd_inverses, inverses);
        EXPECT_EQ(simd_stored, stored);
      });
    }
  }
}

TEST(GgmlOpsTest, CodesAndValuesAreThoseOfTheReference) {
  const GgmlOps& scalar = GgmlOpsOf(Isa::kScalar);
  for (const ElementType type : kTypes) {
    const Groups groups(type, 2);
    Batch lows, highs, scales, inverses, factors;
    std::array<uint16_t, kGgmlBatch> stored;
    for (size_t i = 0; i < kGgmlFormats; ++i) {
      const auto format = static_cast<GgmlFormat>(i);
      ASSERT_TRUE(scalar.ranges(format, groups.source(), lows.data(), highs.data()));
      scalar.scales(format, lows.data(), highs.data(), scales.data());
      ASSERT_TRUE(scalar.store_scales(scales.data(), stored.data(), inverses.data()));
      inverses[0] = 1;  // the group of zeros: any factor will do, but none divides 0 by 0
      scalar.fit_iq4_nl(groups.source(), kGgmlBatch, inverses.data(), factors.data());
      std::vector<uint8_t> blocks(kGgmlBatch * BlockOf(format).bytes, 0x3A);
      scalar.quantise(format, groups.source(), kGgmlBatch, inverses.data(), lows.data(),
                      blocks.data());
      Groups values(type, 3);
      scalar.dequantise(format, blocks.data(), kGgmlBatch, values.target());
      ForEachTarget([&] {
        const GgmlOps& simd = GgmlOpsOf(Isa::kSimd);
        Batch simd_factors;
        simd.fit_iq4_nl(groups.source(), kGgmlBatch, inverses.data(), simd_factors.data());
        for (size_t g = 1; g < kGgmlBatch; ++g) EXPECT_EQ(simd_factors[g], factors[g]);
        std::vector<uint8_t> simd_blocks(blocks.size(), 0x3A);
        simd.quantise(format, groups.source(), kGgmlBatch, inverses.data(), lows.data(),
                      simd_blocks.data());
        EXPECT_EQ(simd_blocks, blocks) << i;
        Groups simd_values(type, 3);
        simd.dequantise(format, blocks.data(), kGgmlBatch, simd_values.target());
        EXPECT_EQ(simd_values.halfs, values.halfs) << i;
        EXPECT_EQ(simd_values.floats, values.floats) << i;
      });
    }
  }
}

TEST(GgmlOpsTest, RangesFindValuesThatAreNotFinite) {
  const std::array<uint16_t, 3> bf16 = {0x7F80, 0xFF80, 0xFFC1}, fp16 = {0x7C00, 0xFC00, 0x7E01};
  for (size_t i = 0; i < bf16.size(); ++i) {
    for (const ElementType type : kTypes) {
      Groups groups(type, 4);
      groups.floats[200] = FloatOfBf16(bf16[i]);
      groups.halfs[200] = type == ElementType::kBf16 ? bf16[i] : fp16[i];
      for (const GgmlFormat format : {GgmlFormat::kQ8_0, GgmlFormat::kQ4_0, GgmlFormat::kQ4_1}) {
        const auto finite = [&](Isa isa) {
          Batch lows, highs;
          return GgmlOpsOf(isa).ranges(format, groups.source(), lows.data(), highs.data());
        };
        EXPECT_FALSE(finite(Isa::kScalar));
        ForEachTarget([&] { EXPECT_FALSE(finite(Isa::kSimd)); });
      }
    }
  }
}

TEST(GgmlOpsTest, StepsLieBetweenTheTablesValues) {
  for (int code = 0; code < 15; ++code) {
    EXPECT_EQ(kIq4NlSteps[code], kIq4NlValues[code] + kIq4NlValues[code + 1] + 512);
  }
}

}  // namespace
}  // namespace larder
