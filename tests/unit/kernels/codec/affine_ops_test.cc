#include "kernels/codec/affine_ops.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

constexpr size_t kRows = 45, kWidth = 80, kGroup = 32;
constexpr ElementType kTypes[] = {ElementType::kF32, ElementType::kBf16, ElementType::kFp16};

// Rows of one type of element.
struct Rows {
  Rows(ElementType element_type, uint64_t seed) : type(element_type), bytes(kRows * kWidth * 4) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (size_t row = 0; row < kRows; ++row) {
      rows.push_back(bytes.data() + row * kWidth * 4);
      for (size_t i = 0; i < kWidth; ++i) {
        const float value = i < 40 ? normal(random) * 3 : row % 2 == 0 ? 0.0f : -0.0f;
        StoreElement(type, value, rows[row], i);
      }
    }
  }
  SourceElements source() const { return {type, rows.data()}; }
  TargetElements target() const { return {type, rows.data()}; }

  ElementType type;
  std::vector<uint8_t> bytes;
  std::vector<void*> rows;
};

// What one Isa makes of the columns of `source`.
struct Columns {
  Columns(Isa isa, const Rows& source, unsigned bits)
      : ops(AffineOpsOf(isa, source.type)),
        lows(kWidth),
        highs(kWidth),
        levels(kWidth, static_cast<float>((1u << bits) - 1)),
        sums(kWidth),
        scales(kWidth),
        minima(kWidth),
        words(ColumnWords(kRows, bits) * kWidth * 4),
        above(words.size()) {
    if (bits == 2) {
      for (size_t i = 0; i < kWidth; i += 3) levels[i] = 15;
    }
    EXPECT_TRUE(ops.column_ranges(source.source(), kRows, kWidth, lows.data(), highs.data()));
    ops.column_magnitudes(source.source(), kRows, kWidth, sums.data());
    EXPECT_TRUE(ops.store_scales(lows.data(), highs.data(), levels.data(), kWidth, scales.data(),
                                 minima.data()));
    const AffineSteps steps{lows.data(), highs.data(), levels.data()};
    ops.quantise_columns(source.source(), kRows, kWidth, steps, bits, words.data(),
                         bits == 2 ? above.data() : nullptr);
  }

  const AffineOps& ops;
  std::vector<float> lows, highs, levels, sums;
  std::vector<uint16_t> scales, minima;
  std::vector<uint8_t> words, above;
};

TEST(AffineOpsTest, ColumnsAreThoseOfTheReference) {
  for (const ElementType type : kTypes) {
    const Rows source(type, 1);
    for (const unsigned bits : {2u, 3u, 4u, 8u}) {
      const Columns want(Isa::kScalar, source, bits);
      const uint8_t* above = bits == 2 ? want.above.data() : nullptr;
      Rows values(type, 2);
      want.ops.dequantise_columns(want.words.data(), above, bits, kRows, kWidth, want.highs.data(),
                                  want.lows.data(), values.target());
      ForEachTarget([&] {
        const Columns got(Isa::kSimd, source, bits);
        EXPECT_EQ(got.lows, want.lows);
        EXPECT_EQ(got.highs, want.highs);
        EXPECT_EQ(got.sums, want.sums);
        EXPECT_EQ(got.scales, want.scales);
        EXPECT_EQ(got.minima, want.minima);
        EXPECT_EQ(got.words, want.words) << bits;
        EXPECT_EQ(got.above, want.above) << bits;
        Rows simd_values(type, 2);
        got.ops.dequantise_columns(want.words.data(), above, bits, kRows, kWidth, want.highs.data(),
                                   want.lows.data(), simd_values.target());
        EXPECT_EQ(simd_values.bytes, values.bytes) << bits;
      });
    }
  }
}

TEST(AffineOpsTest, RowsAreThoseOfTheReference) {
  constexpr size_t kCount = 144;  // 45 rows of 3 groups, rounded up
  for (const ElementType type : kTypes) {
    const Rows source(type, 3);
    std::vector<float> lows(kCount), highs(kCount), levels(kCount, 15.0f);
    std::vector<uint16_t> scales(kCount), minima(kCount);
    std::vector<uint8_t> codes(kRows * kWidth);
    const AffineOps& scalar = AffineOpsOf(Isa::kScalar, type);
    ASSERT_TRUE(
        scalar.row_ranges(source.source(), kRows, kWidth, kGroup, lows.data(), highs.data()));
    const std::vector<float> low_values = lows, high_values = highs;
    ASSERT_TRUE(scalar.store_scales(lows.data(), highs.data(), levels.data(), kCount, scales.data(),
                                    minima.data()));
    const AffineSteps steps{lows.data(), highs.data(), levels.data()};
    scalar.quantise_rows(source.source(), kRows, kWidth, kGroup, steps, codes.data());
    Rows values(type, 4);
    scalar.dequantise_rows(codes.data(), kRows, kWidth, kGroup, highs.data(), lows.data(),
                           values.target());
    ForEachTarget([&] {
      const AffineOps& simd = AffineOpsOf(Isa::kSimd, type);
      std::vector<float> simd_lows(kCount), simd_highs(kCount);
      ASSERT_TRUE(simd.row_ranges(source.source(), kRows, kWidth, kGroup, simd_lows.data(),
                                  simd_highs.data()));
      EXPECT_EQ(simd_lows, low_values);
      EXPECT_EQ(simd_highs, high_values);
      std::vector<uint8_t> simd_codes(codes.size());
      simd.quantise_rows(source.source(), kRows, kWidth, kGroup, steps, simd_codes.data());
      EXPECT_EQ(simd_codes, codes);
      Rows simd_values(type, 4);
      simd.dequantise_rows(codes.data(), kRows, kWidth, kGroup, highs.data(), lows.data(),
                           simd_values.target());
      EXPECT_EQ(simd_values.bytes, values.bytes);
    });
  }
}

TEST(AffineOpsTest, RangesFindValuesThatAreNotFinite) {
  for (const ElementType type : kTypes) {
    for (const uint32_t bits : {0x7F800000u, 0xFF800000u, 0x7FC00000u}) {
      Rows source(type, 5);
      if (type == ElementType::kFp16) {
        static_cast<uint16_t*>(source.rows[7])[33] = static_cast<uint16_t>(0x7C00 | bits >> 16);
      } else {
        StoreElement(type, FloatOfBits(bits), source.rows[7], 33);
      }
      std::vector<float> lows(kRows * kWidth), highs(kRows * kWidth);
      const auto refused = [&](Isa isa) {
        const AffineOps& ops = AffineOpsOf(isa, type);
        EXPECT_FALSE(ops.column_ranges(source.source(), kRows, kWidth, lows.data(), highs.data()));
        EXPECT_FALSE(
            ops.row_ranges(source.source(), kRows, kWidth, kGroup, lows.data(), highs.data()));
      };
      refused(Isa::kScalar);
      ForEachTarget([&] { refused(Isa::kSimd); });
    }
  }
}

TEST(AffineOpsTest, StoreScalesRefusesWhatFp16DoesNotHold) {
  for (const Isa isa : {Isa::kScalar, Isa::kSimd}) {
    const AffineOps& ops = AffineOpsOf(isa, ElementType::kF32);
    std::vector<float> levels(16, 1.0f);
    std::vector<uint16_t> scales(16), minima(16);
    const auto held = [&](float low, float high) {
      std::vector<float> lows(16), highs(16);
      lows[9] = low, highs[9] = high;
      return ops.store_scales(lows.data(), highs.data(), levels.data(), 16, scales.data(),
                              minima.data());
    };
    EXPECT_TRUE(held(0, 65504));
    EXPECT_TRUE(held(-65504, 0));
    EXPECT_FALSE(held(0, 65505));
    EXPECT_FALSE(held(-65505, -65000));
    EXPECT_FALSE(held(65505, 65505));
    EXPECT_FALSE(held(-3e38f, 3e38f));
    EXPECT_TRUE(held(-0.0f, 0.0f));
    EXPECT_EQ(minima[9], 0);
    EXPECT_TRUE(held(0.0f, -0.0f));
    EXPECT_EQ(scales[9], 0);
  }
}

}  // namespace
}  // namespace larder
