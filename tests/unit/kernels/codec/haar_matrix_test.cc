#include "kernels/codec/haar_matrix.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

TEST(HaarMatrixTest, IsOrthogonalAndItsBackUndoesIt) {
  constexpr uint32_t kSide = 80;
  const HaarMatrix matrix(5, kSide);
  for (uint32_t a = 0; a < kSide; ++a) {
    for (uint32_t b = 0; b < kSide; ++b) {
      double product = 0;  // of row a forward and row b back
      for (uint32_t i = 0; i < kSide; ++i) {
        product += double{matrix.forward()[i * kSide + a]} * matrix.back()[b * kSide + i];
      }
      ASSERT_NEAR(product, a == b ? 1 : 0, 1e-6) << a << ' ' << b;
    }
  }
}

TEST(HaarMatrixTest, DiffersBySeedAndIsTheSameEverywhere) {
  const HaarMatrix matrix(5, 16), other(6, 16);
  EXPECT_NE(matrix.forward()[0], other.forward()[0]);
  double sum = 0;
  for (int i = 0; i < 256; ++i) sum += double{matrix.forward()[i]} * (i % 7 + 1);
  EXPECT_EQ(BitsOf(static_cast<float>(sum)), 3273186625u);
}

TEST(HaarMatrixTest, IsBuiltOnceWhileItIsKept) {
  const auto first = FindHaarMatrix(1, 16);
  EXPECT_EQ(FindHaarMatrix(1, 16), first);
  for (uint64_t seed = 2; seed < 40; ++seed) FindHaarMatrix(seed, 16);
  EXPECT_EQ(first.use_count(), 1);
  EXPECT_EQ(FindHaarMatrix(1, 16)->forward()[7], first->forward()[7]);
}

}  // namespace
}  // namespace larder
