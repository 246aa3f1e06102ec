#include "kernels/codec/polar_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/codec/packing.h"
#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

const QuantiserCodec& Codec() {
  static const PolarQuantiser quantiser;
  static const QuantiserCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint8_t bits, uint8_t transform = kTransformRotate) {
  CodecParams params;
  params.bits = bits;
  params.transform = transform;
  params.seed = 5;
  return params;
}

std::vector<std::byte> Encoded(const RandomTile& tile, const CodecParams& params) {
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<std::byte> out(Codec().BytesMax(params, tile.shape));
  const auto bytes = Codec().Encode(context, tile.shape, tile.source(), workspace, out.data());
  if (!bytes) return {};
  return out;
}

std::vector<uint16_t> RoundTrip(const RandomTile& tile, const CodecParams& params) {
  return RoundTripOf(Codec(), tile, params);
}

TEST(PolarQuantiserTest, HasTheErrorOfGaussianRows) {
  const RandomTile tile = GaussianTile({1024, 128}, 1);
  EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(4))), 0.0321, 0.03 * 0.0321);
  EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(3))), 0.0696, 0.03 * 0.0696);
  EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(5))), 0.00854, 0.03 * 0.00854);
}

// Rotated, all their magnitudes are equal: angles on the border of two bins at every level, the worst case.
TEST(PolarQuantiserTest, RowsOfOneChannelStayWithinTheBound) {
  RandomTile tile = GaussianTile({128, 128}, 2);
  for (size_t i = 0; i < tile.elements.size(); ++i) {
    tile.elements[i] = Bf16OfFloat(i % 128 == i / 128 ? 3.0f : 0.0f);
  }
  EXPECT_LT(RelativeMse(tile, RoundTrip(tile, Params(4))), 0.09);
}

TEST(PolarQuantiserTest, SizesAreAsDeclared) {
  EXPECT_EQ(Codec().BytesMax(Params(4), {256, 128}) * 8, 256 * 128 * 3.875);
  EXPECT_EQ(Codec().BytesMax(Params(3), {256, 128}) * 8, 256 * 128 * 3.375);
  EXPECT_EQ(Codec().BytesMax(Params(5), {256, 128}) * 8, 256 * 128 * 4.8125);
  // One block: 2 bytes of radius and 14 of zeros, then 32 codes for each of the levels.
  EXPECT_EQ(Codec().BytesMax(Params(4), {1, 16}), 16 + 16 + 3 * 8);
}

// Codes occur as often as the densities of the angles say: uniform at level 1, sin(2 psi)^(n - 1) above.
TEST(PolarQuantiserTest, AnglesHaveTheirDensities) {
  const TileShape shape{1024, 128};
  const std::vector<std::byte> bytes = Encoded(GaussianTile(shape, 3), Params(4));
  const auto* at = reinterpret_cast<const uint8_t*>(bytes.data()) + shape.elements() / 16 * 2;
  const double thresholds[3][5] = {{0, 0.510318356, 1, 1.9595611, 1e9},
                                   {0, 0.613541933, 1, 1.62988045, 1e9},
                                   {0, 0.706480026, 1, 1.41546818, 1e9}};
  for (unsigned level = 1; level <= 4; ++level) {
    const unsigned bits = level == 1 ? 4 : 2, kinds = 1u << bits;
    const size_t count = shape.elements() >> level;
    std::vector<uint8_t> codes(count);
    PackingOpsOf(Isa::kScalar).unpack(at, bits, codes.data(), count);
    at += PackedBytes(count, bits);
    std::vector<double> seen(kinds, 0), want(kinds, 0);
    for (const uint8_t code : codes) seen[code] += 1.0 / static_cast<double>(count);
    if (level == 1) {
      std::fill(want.begin(), want.end(), 1.0 / 16);
    } else {
      double total = 0;
      for (int step = 0; step < 100'000; ++step) {
        const double psi = (step + 0.5) / 100'000 * M_PI / 2;
        const double density = std::pow(std::sin(2 * psi), (1 << (level - 1)) - 1);
        unsigned code = 0;
        while (std::tan(psi) >= thresholds[level - 2][code + 1]) ++code;
        want[code] += density;
        total += density;
      }
      for (double& mass : want) mass /= total;
    }
    // Four deviations of a frequency.
    const double bound = 4 * std::sqrt(0.25 / static_cast<double>(count));
    for (unsigned code = 0; code < kinds; ++code) EXPECT_NEAR(seen[code], want[code], bound);
  }
}

// By hand, without rotation: the pairs (3, 4), (-3, 4), (0, 0) ...
TEST(PolarQuantiserTest, WritesTheBytesWorkedOutByHand) {
  RandomTile tile = GaussianTile({1, 16}, 4);
  std::fill(tile.elements.begin(), tile.elements.end(), uint16_t{0});
  tile.elements[0] = Bf16OfFloat(3.0f);
  tile.elements[1] = Bf16OfFloat(4.0f);
  tile.elements[2] = Bf16OfFloat(-3.0f);
  tile.elements[3] = Bf16OfFloat(4.0f);
  const std::vector<std::byte> bytes = Encoded(tile, Params(4, 0));
  ASSERT_EQ(bytes.size(), 56u);
  // The radius is sqrt(50) = 7.0710678; fp16 0x4712 is 7.0703125.
  EXPECT_EQ(bytes[0], std::byte{0x12});
  EXPECT_EQ(bytes[1], std::byte{0x47});
  // Level 1: 4/3 lies between the tangents 1 and 2.41: k = 2; the second x is negative: 2 + 4. Zero
  // pairs reach every threshold: k = 3.
  EXPECT_EQ(bytes[16], std::byte{0x62});
  EXPECT_EQ(bytes[17], std::byte{0x33});
  EXPECT_EQ(bytes[19], std::byte{0x33});
  EXPECT_EQ(bytes[20], std::byte{0});
  // Level 2: (5, 5) is 2; three zero pairs. Level 3: (7.07, 0) is 0, (0, 0) is 3. Level 4: (7.07, 0) is 0.
  EXPECT_EQ(bytes[32], std::byte{0b11'11'11'10});
  EXPECT_EQ(bytes[40], std::byte{0b11'00});
  EXPECT_EQ(bytes[48], std::byte{0});
}

TEST(PolarQuantiserTest, CodesZeroRowsAndRefusesLongOnes) {
  RandomTile tile = GaussianTile({16, 128}, 6);
  std::fill(tile.elements.begin(), tile.elements.end(), uint16_t{0});
  for (const uint16_t value : RoundTrip(tile, Params(4))) EXPECT_EQ(value & 0x7FFF, 0);
  for (const float scale : {1e5f, 1e20f, 1e38f}) {
    EXPECT_TRUE(Encoded(GaussianTile({16, 128}, 7, 0, scale), Params(4)).empty());
  }
}

}  // namespace
}  // namespace larder
