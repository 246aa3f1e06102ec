#include "kernels/codec/polar_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

constexpr AngleBook kBooks[] = {
    MakeAngleBook(true, 2, {1.0f}, {0.92f, 0.38f}),
    MakeAngleBook(true, 4, {0.41f, 1.0f, 2.4f}, {0.98f, 0.83f, 0.56f, 0.2f}),
    MakeAngleBook(false, 4, {0.5f, 1.0f, 2.0f}, {0.95f, 0.81f, 0.59f, 0.3f}),
    MakeAngleBook(false, 8, {0.3f, 0.5f, 0.7f, 1.0f, 1.4f, 2.0f, 3.4f},
                  {0.98f, 0.93f, 0.85f, 0.76f, 0.65f, 0.52f, 0.37f, 0.19f}),
    MakeAngleBook(true, 8, {0.2f, 0.4f, 0.7f, 1.0f, 1.5f, 2.4f, 5.0f},
                  {0.99f, 0.96f, 0.88f, 0.77f, 0.63f, 0.47f, 0.29f, 0.1f}),
};

TEST(PolarOpsTest, SimdEqualsTheReference) {
  const PolarOps& scalar = PolarOpsOf(Isa::kScalar);
  ForEachTarget([&] {
    const PolarOps& simd = PolarOpsOf(Isa::kSimd);
    for (const AngleBook& book : kBooks) {
      for (const size_t count : {1u, 5u, 8u, 16u, 100u}) {
        std::mt19937_64 random(count);
        std::normal_distribution<float> normal;
        std::vector<float> pairs(2 * count);
        for (float& value : pairs) {
          value = normal(random);
          if (random() % 8 == 0) value = random() % 2 == 0 ? 0.0f : -0.0f;
          if (!book.whole_circle) value = std::fabs(value);
        }
        if (count > 5) pairs[7] = pairs[6] * book.tangents[0];
        std::vector<float> want(count + 1, 7.0f), got(want);
        std::vector<uint8_t> want_codes(count + 1, 77), got_codes(want_codes);
        scalar.split(pairs.data(), count, book, want.data(), want_codes.data());
        simd.split(pairs.data(), count, book, got.data(), got_codes.data());
        EXPECT_EQ(want, got);
        EXPECT_EQ(want_codes, got_codes);
        std::vector<float> want_pairs(2 * count + 1, 7.0f), got_pairs(want_pairs);
        scalar.join(want.data(), want_codes.data(), count, book, want_pairs.data());
        simd.join(want.data(), want_codes.data(), count, book, got_pairs.data());
        EXPECT_EQ(want_pairs, got_pairs);
      }
    }
  });
}

TEST(PolarOpsTest, CodesTurnWithThePoint) {
  const AngleBook& book = kBooks[1];
  for (int degree = 1; degree < 360; degree += 2) {
    const double angle = degree * M_PI / 180;
    const float pair[] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
    float radius, back[2];
    uint8_t code;
    PolarOpsOf(Isa::kScalar).split(pair, 1, book, &radius, &code);
    EXPECT_NEAR(radius, 1, 1e-6);
    PolarOpsOf(Isa::kScalar).join(&radius, &code, 1, book, back);
    // Half a bin of 22.5 degrees, and the rounded numbers of the book.
    EXPECT_LT(std::hypot(back[0] - pair[0], back[1] - pair[1]), 0.21) << degree;
  }
}

}  // namespace
}  // namespace larder
