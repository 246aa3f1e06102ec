#include "kernels/codec/fp8_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

const DirectCodec& Codec() {
  static const Fp8Quantiser quantiser;
  static const DirectCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint8_t variant, uint8_t transform = 0) {
  CodecParams params;
  params.bits = 8;
  params.variant = variant;
  params.transform = transform;
  return params;
}

std::vector<uint16_t> RoundTrip(const RandomTile& tile, const CodecParams& params) {
  return RoundTripOf(Codec(), tile, params);
}

TEST(Fp8QuantiserTest, HasTheErrorOfGaussianRows) {
  const RandomTile tile = GaussianTile({512, 128}, 1);
  EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(0))), 7.0e-4, 0.03 * 7.0e-4);
  EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(kFp8E5M2))), 2.8e-3, 0.03 * 2.8e-3);
}

TEST(Fp8QuantiserTest, StaysWithinItsBound) {
  for (const uint8_t variant : {0, 1, 2, 3}) {
    for (const float scale : {1e-6f, 1.0f, 1e4f}) {
      const RandomTile tile = GaussianTile({33, 80}, 2, 1, scale);
      const std::vector<uint16_t> decoded = RoundTrip(tile, Params(variant));
      float largest = 0;
      for (size_t i = 0; i < decoded.size(); ++i)
        largest = std::max(largest, std::fabs(tile.at(i)));
      const bool e5m2 = (variant & kFp8E5M2) != 0;
      const float unit = largest / (e5m2 ? kFp8E5M2Max : kFp8E4M3Max) * 2;  // of any scale rule
      for (size_t i = 0; i < decoded.size(); ++i) {
        const float value = tile.at(i);
        const float bound = std::max(std::fabs(value) * (e5m2 ? 0x1p-3f : 0x1p-4f),
                                     unit * (e5m2 ? 0x1p-17f : 0x1p-10f));
        // bf16 rounding of the result on top.
        ASSERT_LE(std::fabs(FloatOfBf16(decoded[i]) - value), bound + std::fabs(value) * 0x1p-8f);
      }
    }
  }
}

TEST(Fp8QuantiserTest, CentringLowersTheErrorOfOutlierChannels) {
  const RandomTile tile = GaussianTile({256, 128}, 3, 4);
  const double plain = RelativeMse(tile, RoundTrip(tile, Params(0)));
  const double centred = RelativeMse(tile, RoundTrip(tile, Params(0, kTransformCentre)));
  EXPECT_LT(centred, plain * 0.6);
}

TEST(Fp8QuantiserTest, PowerOfTwoScalesKeepValuesThatFitExactly) {
  RandomTile tile = GaussianTile({16, 16}, 4);
  for (size_t i = 0; i < tile.elements.size(); ++i) {
    tile.elements[i] = Bf16OfFloat(FloatOfFp8E4M3(static_cast<uint8_t>(i % 0x7F)) * 0x1p-3f);
  }
  EXPECT_EQ(RoundTrip(tile, Params(kFp8PowerOfTwo)), tile.elements);
}

TEST(Fp8QuantiserTest, RefusesValuesThatAreNotFinite) {
  for (const uint16_t bad : {uint16_t{0x7F80}, uint16_t{0xFF80}, uint16_t{0x7FC0}}) {
    RandomTile tile = GaussianTile({16, 16}, 5);
    tile.elements[100] = bad;
    const CodecParams params = Params(0);
    const TileContext context{params};
    Workspace workspace;
    std::vector<std::byte> out(Codec().BytesMax(params, tile.shape));
    EXPECT_FALSE(Codec().Encode(context, tile.shape, tile.source(), workspace, out.data()));
  }
}

// Sums of a rotation may overflow with a scale that no encoder writes; NaN would then differ by the order.
// Also without a transform NaN would differ, by the machine.
TEST(Fp8QuantiserTest, ReadsScalesThatNoEncoderWritesAlike) {
  const TileShape shape{16, 128};
  for (const uint8_t transform : {uint8_t{0}, kTransformRotate}) {
    const CodecParams params = Params(0, transform);
    std::vector<std::byte> in(Codec().BytesMax(params, shape));
    for (size_t i = 16; i < in.size(); ++i) in[i] = static_cast<std::byte>(i * 37);
    for (const uint32_t bits : {0x7F800000u, 0xFF800000u, 0x7FC00001u, 0x7F7FFFFFu, 0xBF800000u}) {
      std::memcpy(in.data(), &bits, 4);
      std::vector<uint16_t> decoded[2];
      for (const Isa isa : {Isa::kScalar, Isa::kSimd}) {
        TileContext context{params};
        context.isa = isa;
        Workspace workspace;
        auto& rows = decoded[isa == Isa::kSimd];
        rows.assign(shape.elements(), 1);
        EXPECT_TRUE(Codec().Decode(context, shape, in, workspace, TargetOf(rows, shape)));
      }
      EXPECT_EQ(decoded[0], decoded[1]);
      const bool finite = (bits & 0x7F800000u) != 0x7F800000u;
      if (transform != 0 || !finite) {
        EXPECT_EQ(FloatOfBf16(decoded[0][5]), 0.0f);
      }
    }
  }
}

TEST(Fp8QuantiserTest, RefusesToRotateValuesWhoseSumsMayOverflow) {
  const RandomTile tile = GaussianTile({16, 128}, 8, 0, 0x1p110f);
  for (const uint8_t transform : {uint8_t{0}, kTransformRotate}) {
    const CodecParams params = Params(0, transform);
    const TileContext context{params};
    Workspace workspace;
    std::vector<std::byte> out(Codec().BytesMax(params, tile.shape));
    const auto bytes = Codec().Encode(context, tile.shape, tile.source(), workspace, out.data());
    EXPECT_EQ(bytes.has_value(), transform == 0);
  }
}

TEST(Fp8QuantiserTest, CodesZeroTiles) {
  RandomTile tile = GaussianTile({16, 16}, 6);
  std::fill(tile.elements.begin(), tile.elements.end(), uint16_t{0});
  EXPECT_EQ(RoundTrip(tile, Params(0)), tile.elements);
}

}  // namespace
}  // namespace larder
