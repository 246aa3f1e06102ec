#include "kernels/codec/pair_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

constexpr size_t kPairs = 40;

struct Ranges {
  std::vector<float> radius_least, radius_step, angle_least, angle_step;
  PairRanges view() const {
    return {radius_least.data(), radius_step.data(), angle_least.data(), angle_step.data()};
  }
};

Ranges AllRanges() {
  Ranges ranges{std::vector<float>(kPairs, 0.25f), std::vector<float>(kPairs, 0.125f),
                std::vector<float>(kPairs, 0.0f), std::vector<float>(kPairs, kWholeTurn / 16)};
  ranges.radius_step[3] = 0;
  ranges.angle_step[4] = 0;
  ranges.angle_least[5] = 131008;  // as hostile bytes may say
  ranges.angle_step[5] = 131008;
  ranges.angle_least[6] = -131008;
  return ranges;
}

TEST(PairOpsTest, AnglesAreThoseOfTheLibrary) {
  std::vector<float> row(2 * kPairs), radii(kPairs), angles(kPairs);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 500; ++round) {
    for (float& value : row) value = normal(random);
    row[1] = 0, row[2 + kPairs] = 0, row[3] = row[3 + kPairs] = 0, row[4] = row[4 + kPairs];
    PairOpsOf(Isa::kScalar).split(row.data(), kPairs, radii.data(), angles.data());
    for (size_t j = 0; j < kPairs; ++j) {
      double want = std::atan2(row[j + kPairs], row[j]);
      if (want < 0) want += 2 * M_PI;
      ASSERT_NEAR(angles[j], want, 1.5e-6);
      ASSERT_NEAR(radii[j], std::hypot(row[j], row[j + kPairs]), 1e-6 * radii[j]);
    }
  }
}

TEST(PairOpsTest, DecodesToTheMiddleOfTheBin) {
  const Ranges ranges = AllRanges();
  for (unsigned code = 0; code < 256; ++code) {
    const std::vector<uint8_t> codes(kPairs, static_cast<uint8_t>(code));
    std::vector<float> row(2 * kPairs);
    PairOpsOf(Isa::kScalar).decode(codes.data(), kPairs, ranges.view(), row.data());
    const double radius = 0.25 + (code / 16 + 0.5) * 0.125;
    const double angle = (code % 16 + 0.5) * M_PI / 8;
    EXPECT_NEAR(row[0], radius * std::cos(angle), 3e-6);
    EXPECT_NEAR(row[kPairs], radius * std::sin(angle), 3e-6);
    for (const float value : row) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST(PairOpsTest, SimdEqualsTheReference) {
  const PairOps& scalar = PairOpsOf(Isa::kScalar);
  const Ranges ranges = AllRanges();
  ForEachTarget([&] {
    const PairOps& simd = PairOpsOf(Isa::kSimd);
    std::mt19937_64 random(2);
    std::normal_distribution<float> normal;
    for (int round = 0; round < 300; ++round) {
      std::vector<float> row(2 * kPairs);
      for (float& value : row) {
        value = normal(random) * (round % 3 == 0 ? 1e-20f : 1.0f);
        if (random() % 8 == 0) value = random() % 2 == 0 ? 0.0f : -0.0f;
      }
      std::vector<float> want(kPairs), got(kPairs), want_angles(kPairs), got_angles(kPairs);
      scalar.split(row.data(), kPairs, want.data(), want_angles.data());
      simd.split(row.data(), kPairs, got.data(), got_angles.data());
      ASSERT_EQ(want, got);
      ASSERT_EQ(want_angles, got_angles);
      std::vector<uint8_t> want_codes(kPairs), got_codes(kPairs);
      scalar.encode(want.data(), want_angles.data(), kPairs, ranges.view(), want_codes.data());
      simd.encode(want.data(), want_angles.data(), kPairs, ranges.view(), got_codes.data());
      ASSERT_EQ(want_codes, got_codes);
      for (uint8_t& code : want_codes) code = static_cast<uint8_t>(random());
      std::vector<float> want_row(2 * kPairs), got_row(2 * kPairs);
      scalar.decode(want_codes.data(), kPairs, ranges.view(), want_row.data());
      simd.decode(want_codes.data(), kPairs, ranges.view(), got_row.data());
      ASSERT_EQ(want_row, got_row);
    }
  });
}

TEST(PairOpsTest, UnwrapsColumnsAroundZero) {
  constexpr size_t kRows = 9;
  std::vector<float> angles(kRows * kPairs);
  std::mt19937_64 random(3);
  std::uniform_real_distribution<float> any(0.0f, kWholeTurn), near(-0.3f, 0.3f);
  for (size_t i = 0; i < angles.size(); ++i) {
    const float angle = near(random);
    angles[i] = i % kPairs % 3 == 0 ? any(random) : angle < 0 ? angle + kWholeTurn : angle;
  }
  std::vector<float> want = angles;
  PairOpsOf(Isa::kScalar).unwrap(want.data(), kRows, kPairs);
  std::vector<float> least(kPairs), largest(kPairs);
  PairOpsOf(Isa::kScalar).range(want.data(), kRows, kPairs, least.data(), largest.data());
  for (size_t j = 0; j < kPairs; ++j) {
    if (j % 3 != 0) {
      EXPECT_LT(largest[j] - least[j], 0.61f);
    }
    for (size_t row = 0; row < kRows; ++row) {
      const float turn = want[row * kPairs + j] - angles[row * kPairs + j];
      EXPECT_TRUE(turn == 0 || std::fabs(turn - kWholeTurn) < 1e-5f);
    }
  }
  ForEachTarget([&] {
    std::vector<float> got = angles, got_least(kPairs), got_largest(kPairs);
    PairOpsOf(Isa::kSimd).unwrap(got.data(), kRows, kPairs);
    EXPECT_EQ(want, got);
    PairOpsOf(Isa::kSimd).range(got.data(), kRows, kPairs, got_least.data(), got_largest.data());
    EXPECT_EQ(least, got_least);
    EXPECT_EQ(largest, got_largest);
  });
}

}  // namespace
}  // namespace larder
