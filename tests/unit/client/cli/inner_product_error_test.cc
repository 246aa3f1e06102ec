#include "client/cli/inner_product_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace larder::cli {
namespace {

constexpr uint32_t kDim = 64;

std::vector<float> RandomRows(uint64_t seed) {
  Random random(seed);
  std::vector<float> rows(500 * kDim);
  for (float& value : rows) value = static_cast<float>(random.Normal());
  return rows;
}

TEST(InnerProductErrorTest, ExactRowsHaveSlopeOneAndNoVariance) {
  InnerProductError error(1);
  EXPECT_EQ(error.Slope(), 1);
  EXPECT_EQ(error.Variance(), 0);
  const std::vector<float> rows = RandomRows(2);
  error.Add(rows, rows, kDim);
  EXPECT_NEAR(error.Slope(), 1, 1e-6);
  EXPECT_NEAR(error.Variance(), 0, 1e-6);
}

TEST(InnerProductErrorTest, MeasuresAShrunkRow) {
  const std::vector<float> rows = RandomRows(3);
  std::vector<float> decoded = rows;
  for (float& value : decoded) value *= 0.75f;
  InnerProductError error(1);
  error.Add(rows, decoded, kDim);
  EXPECT_NEAR(error.Slope(), 0.75, 1e-6);
  EXPECT_NEAR(error.Variance(), 0, 1e-6);
}

// Noise e apart from x: the variance is that of <y, e>, with 3/4 of |y|^2 spread over the other channels.
TEST(InnerProductErrorTest, MeasuresNoiseAroundTheRow) {
  const std::vector<float> rows = RandomRows(4), noise = RandomRows(5);
  std::vector<float> decoded = rows;
  for (size_t i = 0; i < rows.size(); ++i) decoded[i] += 0.1f * noise[i];
  InnerProductError error(1);
  error.Add(rows, decoded, kDim);
  EXPECT_NEAR(error.Slope(), 1, 0.01);
  EXPECT_NEAR(error.Variance(), 0.01, 0.0015);
}

TEST(InnerProductErrorTest, LeavesOutRowsOfZeros) {
  InnerProductError error(1);
  const std::vector<float> zeros(2 * kDim);
  error.Add(zeros, zeros, kDim);
  EXPECT_EQ(error.Slope(), 1);
  EXPECT_TRUE(std::isfinite(error.Variance()));
}

}  // namespace
}  // namespace larder::cli
