#include "kernels/codec/polar_rope_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

constexpr uint32_t kDim = 128, kPairs = kDim / 2;

const QuantiserCodec& Codec() {
  static const PolarRopeQuantiser quantiser;
  static const QuantiserCodec codec(quantiser);
  return codec;
}

CodecParams Params() {
  CodecParams params;
  params.bits = 4;
  params.group = kPolarRopeGroup;
  return params;
}

std::vector<uint16_t> RoundTrip(const RandomTile& tile, bool refused = false) {
  const CodecParams params = Params();
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<std::byte> out(Codec().BytesMax(params, tile.shape));
  const auto bytes = Codec().Encode(context, tile.shape, tile.source(), workspace, out.data());
  EXPECT_EQ(bytes.has_value(), !refused);
  if (!bytes) return {};
  std::vector<uint16_t> decoded(tile.elements.size());
  EXPECT_TRUE(Codec().Decode(context, tile.shape, out, workspace, TargetOf(decoded, tile.shape)));
  return decoded;
}

struct Polar {
  double radius, angle;
};

Polar PolarOf(double x, double y) {
  const double angle = std::atan2(y, x);
  return {std::hypot(x, y), angle < 0 ? angle + 2 * M_PI : angle};
}

TEST(PolarRopeQuantiserTest, StaysWithinOneBinOfRadiusAndAngle) {
  const RandomTile tile = GaussianTile({200, kDim}, 1, 4);  // two groups, four outlier channels
  const std::vector<uint16_t> decoded = RoundTrip(tile);
  for (uint32_t pair = 0; pair < kPairs; ++pair) {
    for (uint32_t begin = 0; begin < tile.shape.tokens; begin += kPolarRopeGroup) {
      const uint32_t end = std::min<uint32_t>(begin + kPolarRopeGroup, tile.shape.tokens);
      Polar least{1e9, 1e9}, largest{0, 0};
      for (uint32_t t = begin; t < end; ++t) {
        const Polar at = PolarOf(tile.at(t * kDim + pair), tile.at(t * kDim + pair + kPairs));
        least = {std::min(least.radius, at.radius), std::min(least.angle, at.angle)};
        largest = {std::max(largest.radius, at.radius), std::max(largest.angle, at.angle)};
      }
      const double radius_bin = (largest.radius - least.radius) / 16;
      const double angle_bin = (largest.angle - least.angle) / 16;
      for (uint32_t t = begin; t < end; ++t) {
        const size_t x = t * kDim + pair, y = x + kPairs;
        const Polar want = PolarOf(tile.at(x), tile.at(y));
        const Polar got = PolarOf(FloatOfBf16(decoded[x]), FloatOfBf16(decoded[y]));
        // Half a bin, and the rounding of scales and results.
        ASSERT_NEAR(got.radius, want.radius, 0.5 * radius_bin + 0.006 * largest.radius);
        const double turn = std::remainder(got.angle - want.angle, 2 * M_PI);
        ASSERT_NEAR(turn, 0, 0.5 * angle_bin + 0.012);
      }
    }
  }
}

// Steps of (3.1 - 0.1) / 16 and of a sixteenth of a turn: (0.19^2 + 2 x 0.39^2) / 12 of 2.
TEST(PolarRopeQuantiserTest, HasTheErrorOfGaussianRows) {
  const RandomTile tile = GaussianTile({1024, kDim}, 2);
  EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile)), 0.0143, 0.05 * 0.0143);
}

// Ranges per pair: channels with an offset cost the others nothing, and their own angles, around 0, few bins.
TEST(PolarRopeQuantiserTest, OutlierChannelsLowerTheRelativeError) {
  const RandomTile plain = GaussianTile({256, kDim}, 3), outliers = GaussianTile({256, kDim}, 3, 4);
  EXPECT_LT(RelativeMse(outliers, RoundTrip(outliers)), RelativeMse(plain, RoundTrip(plain)));
}

TEST(PolarRopeQuantiserTest, SizesAreAsDeclared) {
  EXPECT_EQ(Codec().BytesMax(Params(), {256, 128}) * 8, 256 * 128 * 4.25);
  EXPECT_EQ(Codec().BytesMax(Params(), {129, 128}), 2 * 64 * 8 + 129 * 64);
  EXPECT_EQ(Codec().BytesMax(Params(), {1, 80}), 320 + 40);
}

TEST(PolarRopeQuantiserTest, CodesZeroRowsAndRefusesLongOnes) {
  RandomTile tile = GaussianTile({16, kDim}, 6);
  std::fill(tile.elements.begin(), tile.elements.end(), uint16_t{0});
  for (const uint16_t value : RoundTrip(tile)) EXPECT_EQ(value & 0x7FFF, 0);
  RoundTrip(GaussianTile({16, kDim}, 7, 0, 1e6f), /*refused=*/true);
  RoundTrip(GaussianTile({16, kDim}, 7, 0, 1e30f), /*refused=*/true);
}

}  // namespace
}  // namespace larder
