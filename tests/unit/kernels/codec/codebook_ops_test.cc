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

// Thresholds are midpoints and values the means of their cells; distortions are those of CODECS 5.1.
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
  ForEachTarget([&] {
    const CodebookOps& simd = CodebookOpsOf(Isa::kSimd);
    for (const size_t dim : {16u, 48u, 80u, 96u, 128u, 576u}) {
      for (const float scale : {0.0f, 1e-30f, 1e-20f, 1.0f, 1e5f, 1e30f}) {
        std::mt19937_64 random(dim);
        std::normal_distribution<float> normal;
        std::vector<float> row(dim);
        for (float& value : row) value = normal(random) * scale;
        for (const Codebook& book : kLloydMax) {
          std::vector<uint8_t> want(dim), got(dim);
          const CodedRow want_row = scalar.encode(row.data(), dim, book, want.data());
          const CodedRow got_row = simd.encode(row.data(), dim, book, got.data());
          EXPECT_EQ(want_row.energy, got_row.energy);
          EXPECT_EQ(want_row.rms, got_row.rms);
          EXPECT_EQ(want_row.product, got_row.product);
          EXPECT_EQ(want, got) << dim << " " << scale << " " << book.bits;
          std::vector<float> want_values(dim), got_values(dim);
          scalar.decode(want.data(), dim, book, 1.7f, want_values.data());
          simd.decode(want.data(), dim, book, 1.7f, got_values.data());
          EXPECT_EQ(want_values, got_values);
        }
      }
    }
  });
}

}  // namespace
}  // namespace larder
