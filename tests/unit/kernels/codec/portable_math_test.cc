#include "kernels/codec/portable_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace larder {
namespace {

TEST(PortableMathTest, AgreesWithTheMathLibrary) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> unit(-1, 1);
  for (int i = 0; i < 200'000; ++i) {
    const double angle = unit(random) * std::exp2(unit(random) * 24);
    const SineCosine at = PortableSineCosine(angle);
    ASSERT_NEAR(at.sine, std::sin(angle), 1e-14) << angle;
    ASSERT_NEAR(at.cosine, std::cos(angle), 1e-14) << angle;
    const double x = unit(random) * 700;
    ASSERT_NEAR(PortableExp(x) / std::exp(x), 1.0, 1e-13) << x;
    const double positive = std::exp(x);
    ASSERT_NEAR(PortableLog(positive), std::log(positive), 1e-13 * (1 + std::fabs(x))) << x;
  }
}

TEST(PortableMathTest, IsExactAtTheCorners) {
  EXPECT_EQ(PortableSineCosine(0).sine, 0.0);
  EXPECT_EQ(PortableSineCosine(0).cosine, 1.0);
  EXPECT_EQ(PortableExp(0), 1.0);
  EXPECT_EQ(PortableLog(1), 0.0);
}

}  // namespace
}  // namespace larder
