#include "kernels/codec/codebook_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

double NormalDensity(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double NormalTail(double x) { return 0.5 * std::erfc(x / std::sqrt(2.0)); }

// Thresholds are midpoints and values the means of their cells; distortions are those of N(0,1).
TEST(LloydMaxTest, IsTheFixedPointForGaussianValues) {
  const double distortion[] = {0.36338, 0.11748, 0.03455, 0.00950};
  for (unsigned bits = 1; bits <= 4; ++bits) {
    const Codebook& book = kLloydMax[bits - 1];
    const unsigned half = 1u << (bits - 1);
    double kept = 0;
    for (unsigned k = 0; k < half; ++k) {
      const double low = k == 0 ? 0 : book.thresholds[k - 1];
      const double high = k + 1 == half ? 40 : book.thresholds[k];
      if (k + 1 < half) {
        EXPECT_NEAR(high, (double{book.magnitudes[k]} + book.magnitudes[k + 1]) / 2, 1e-6);
      }
      const double mass = NormalTail(low) - NormalTail(high);
      EXPECT_NEAR(book.magnitudes[k], (NormalDensity(low) - NormalDensity(high)) / mass, 1e-6);
      kept += 2 * mass * book.magnitudes[k] * book.magnitudes[k];
      EXPECT_EQ(book.values[half + k], book.magnitudes[k]);
      EXPECT_EQ(book.values[half - 1 - k], -book.magnitudes[k]);
    }
    EXPECT_NEAR(1 - kept, distortion[bits - 1], 1e-5);
  }
}

TEST(LloydMaxTest, TakesTheNearestValue) {
  for (const Codebook& book : kLloydMax) {
    for (float value = -4.0f; value < 4.0f; value += 0.00371f) {
      const uint8_t code = CodeOf(book, value);
      ASSERT_LT(code, 1u << book.bits);
      for (unsigned other = 0; other < 1u << book.bits; ++other) {
        ASSERT_LE(std::fabs(book.values[code] - value),
                  std::fabs(book.values[other] - value) + 1e-6f);
      }
    }
  }
  EXPECT_EQ(CodeOf(kLloydMax[3], 0.0f), 8);
  EXPECT_EQ(CodeOf(kLloydMax[3], -0.0f), 7);
  EXPECT_EQ(CodeOf(kLloydMax[1], kLloydMax[1].thresholds[0]), 3);
}

TEST(CodebookOpsTest, SimdEqualsTheReference) {
  const CodebookOps& scalar = CodebookOpsOf(Isa::kScalar);
  constexpr size_t kRows = 37;
  ForEachTarget([&] {
    const CodebookOps& simd = CodebookOpsOf(Isa::kSimd);
    for (const size_t dim : {16u, 48u, 80u, 96u, 128u, 576u}) {
      for (const float scale : {0.0f, 1e-30f, 1e-20f, 1.0f, 1e5f, 1e30f}) {
        std::mt19937_64 random(dim);
        std::normal_distribution<float> normal;
        std::vector<float> rows(dim * kRows), scales(kRows, 1.7f);
        for (float& value : rows) value = normal(random) * scale;
        rows[0] *= 30;
        const size_t stride = dim + 16;
        for (const Codebook& book : kLloydMax) {
          std::vector<uint8_t> want(kRows * stride), got(want);
          std::vector<CodedRow> want_rows(kRows), got_rows(kRows);
          scalar.encode({rows.data(), want.data(), kRows, dim, stride}, book, want_rows.data());
          simd.encode({rows.data(), got.data(), kRows, dim, stride}, book, got_rows.data());
          EXPECT_EQ(want, got) << dim << " " << scale << " " << book.bits;
          for (size_t i = 0; i < kRows; ++i) {
            EXPECT_EQ(want_rows[i].energy, got_rows[i].energy);
            EXPECT_EQ(want_rows[i].rms, got_rows[i].rms);
            EXPECT_EQ(want_rows[i].product, got_rows[i].product);
          }
          std::vector<float> want_values(rows), got_values(rows);
          scalar.decode({want_values.data(), want.data(), kRows, dim, stride}, book, scales.data());
          simd.decode({got_values.data(), want.data(), kRows, dim, stride}, book, scales.data());
          EXPECT_EQ(want_values, got_values);
        }
      }
    }
  });
}

// Magnitudes near thresholds and near the borders of quarters, at 200 lengths of the row.
TEST(CodebookOpsTest, SimdEqualsTheReferenceAtThresholds) {
  std::vector<float> values;
  for (const Codebook& book : kLloydMax) {
    for (const float threshold : book.thresholds) {
      for (int step = -2; step <= 2; ++step) {
        values.push_back(FloatOfBits(BitsOf(threshold + 1e-30f) + static_cast<uint32_t>(step)));
      }
    }
  }
  for (int eighth = 0; eighth < 64; ++eighth) values.push_back(static_cast<float>(eighth) / 8);
  while (values.size() % 16 != 15) values.push_back(0.1f);
  values.push_back(0.0f);
  std::vector<uint8_t> want(values.size()), got(values.size());
  ForEachTarget([&] {
    for (const Codebook& book : kLloydMax) {
      for (int round = 0; round < 200; ++round) {
        values.back() = 0.01f * static_cast<float>(round);
        CodedRow want_row, got_row;
        const CodeRows rows{values.data(), want.data(), 1, values.size(), values.size()};
        CodeRows others = rows;
        others.codes = got.data();
        CodebookOpsOf(Isa::kScalar).encode(rows, book, &want_row);
        CodebookOpsOf(Isa::kSimd).encode(others, book, &got_row);
        ASSERT_EQ(want, got);
      }
    }
  });
}

}  // namespace
}  // namespace larder
