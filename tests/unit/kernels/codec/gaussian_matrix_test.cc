#include "kernels/codec/gaussian_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

namespace larder {
namespace {

TEST(GaussianMatrixTest, HasTheMomentsOfIndependentNormals) {
  constexpr uint32_t kRows = 256, kColumns = 128, kCount = kRows * kColumns;
  const GaussianMatrix matrix(9, kRows, kColumns);
  double sum = 0, squares = 0, fourths = 0, neighbours = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    const double value = matrix.values()[i];
    sum += value;
    squares += value * value;
    fourths += value * value * value * value;
    if (i > 0) neighbours += value * matrix.values()[i - 1];
  }
  EXPECT_NEAR(sum / kCount, 0, 0.02);
  EXPECT_NEAR(squares / kCount, 1, 0.03);
  EXPECT_NEAR(fourths / kCount, 3, 0.25);
  EXPECT_NEAR(neighbours / kCount, 0, 0.02);
  for (uint32_t row = 0; row < kRows; row += 17) {
    for (uint32_t column = 0; column < kColumns; ++column) {
      ASSERT_EQ(matrix.values()[row * kColumns + column],
                matrix.transposed()[column * kRows + row]);
    }
  }
}

TEST(GaussianMatrixTest, IsBuiltOnceAndKeptWithinItsBound) {
  const auto first = FindGaussianMatrix(1, 16, 16);
  EXPECT_EQ(FindGaussianMatrix(1, 16, 16), first);
  EXPECT_NE(FindGaussianMatrix(1, 16, 32), first);
  for (uint64_t seed = 2; seed < 40; ++seed) FindGaussianMatrix(seed, 16, 16);
  const auto again = FindGaussianMatrix(1, 16, 16);
  EXPECT_NE(again, first);  // was dropped, and is the same
  EXPECT_EQ(first.use_count(), 1);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(again->values()[i], first->values()[i]);
}

TEST(GaussianMatrixTest, ThreadsShareIt) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (uint64_t i = 0; i < 200; ++i) {
        ASSERT_TRUE(std::isfinite(FindGaussianMatrix(i % 24, 16, 16)->values()[255]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace larder
