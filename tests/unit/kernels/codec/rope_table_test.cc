#include "kernels/codec/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace larder {
namespace {

CodecParams Rotation(uint16_t dim, double theta, RopeScaling scaling = RopeScaling::kNone,
                     float factor = 1) {
  CodecParams params;
  params.transform = kTransformUnrope;
  params.rope_pairing = 1;
  params.rope_rotary_dim = dim;
  params.rope_theta = theta;
  params.rope_scaling = static_cast<uint8_t>(scaling);
  params.rope_scaling_factor = factor;
  return params;
}

TEST(RopeTableTest, HoldsTheAnglesOfItsPositions) {
  const CodecParams params = Rotation(128, 500'000);
  const uint64_t begin = 123'456;
  const RopeTable table(params, begin, 200);
  EXPECT_EQ(table.pairs(), 64u);
  for (const uint32_t token : {0u, 1u, 63u, 64u, 199u}) {
    for (uint32_t pair = 0; pair < 64; ++pair) {
      const double frequency = std::pow(500'000.0, -2.0 * pair / 128);
      const double angle = static_cast<double>(begin + token) * frequency;
      ASSERT_NEAR(table.Cosines(token)[pair], std::cos(angle), 1e-7) << token << " " << pair;
      ASSERT_NEAR(table.Sines(token)[pair], std::sin(angle), 1e-7);
      ASSERT_EQ(table.SinesBack(token)[pair], -table.Sines(token)[pair]);
    }
  }
}

TEST(RopeTableTest, ScalesFrequenciesAsNamed) {
  const auto plain = RopeFrequencies(Rotation(64, 10'000));
  const auto linear = RopeFrequencies(Rotation(64, 10'000, RopeScaling::kLinear, 4));
  const auto ntk = RopeFrequencies(Rotation(64, 10'000, RopeScaling::kNtk, 4));
  const auto llama3 = RopeFrequencies(Rotation(128, 500'000, RopeScaling::kLlama3, 8));
  const auto llama3_plain = RopeFrequencies(Rotation(128, 500'000));
  for (size_t j = 0; j < plain.size(); ++j) {
    EXPECT_NEAR(linear[j], plain[j] / 4, 1e-12);
    const double theta = 10'000 * std::pow(4.0, 64.0 / 62.0);
    EXPECT_NEAR(ntk[j], std::pow(theta, -2.0 * static_cast<double>(j) / 64), 1e-12);
  }
  EXPECT_EQ(llama3.front(), llama3_plain.front());
  EXPECT_NEAR(llama3.back(), llama3_plain.back() / 8, 1e-15);
  for (size_t j = 0; j < llama3.size(); ++j) {
    EXPECT_LE(llama3[j], llama3_plain[j]);
    EXPECT_GE(llama3[j] * (8 + 1e-9), llama3_plain[j]);
  }
}

}  // namespace
}  // namespace larder
