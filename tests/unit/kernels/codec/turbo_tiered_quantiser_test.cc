#include "kernels/codec/turbo_tiered_quantiser.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

constexpr TileShape kShape{256, 128};
constexpr double kDistortion[] = {0.36338, 0.11748, 0.03455, 0.00950};  // of Gaussian values

const QuantiserCodec& Codec() {
  static const TurboTieredQuantiser quantiser;
  static const QuantiserCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint8_t bits, uint16_t boosted = 32) {
  CodecParams params;
  params.bits = bits;
  params.boosted = boosted;
  params.variant = kTurboPlain;
  params.seed = 77;
  return params;
}

TEST(TurboTieredQuantiserTest, HasTheErrorOfItsTiers) {
  const RandomTile tile = GaussianTile({2048, 128}, 1);
  for (uint8_t bits = 1; bits <= 3; ++bits) {
    const double want = 0.25 * kDistortion[bits] + 0.75 * kDistortion[bits - 1];
    EXPECT_NEAR(RelativeMse(tile, RoundTripOf(Codec(), tile, Params(bits))), want, 0.04 * want);
  }
}

TEST(TurboTieredQuantiserTest, TakesTheBitsThatTheFormatSays) {
  EXPECT_EQ(Codec().BytesMax(Params(2), kShape), 16u + 512 + 256 * 12 + 512 + 256 * 24);
  EXPECT_TRUE(Codec().Accepts(Params(3, 112), kShape));
  EXPECT_FALSE(Codec().Accepts(Params(3, 128), kShape));
  EXPECT_FALSE(Codec().Accepts(Params(3, 24), kShape));
  EXPECT_FALSE(Codec().Accepts(Params(4), kShape));
}

TEST(TurboTieredQuantiserTest, SeparatesOutlierChannels) {
  const RandomTile tile = GaussianTile(kShape, 2, 4);  // four channels of mean 12
  static const TurboQuantiser turbo;
  static const QuantiserCodec plain(turbo);
  CodecParams together = Params(2, 0);
  together.transform = kTransformRotate;
  const double error = RelativeMse(tile, RoundTripOf(plain, tile, together));
  EXPECT_LT(RelativeMse(tile, RoundTripOf(Codec(), tile, Params(2))), 0.5 * error);
}

// Tiles come from peers: any mask is read, as FORMAT.md says.
TEST(TurboTieredQuantiserTest, ReadsAnyChoiceOfChannels) {
  const RandomTile tile = GaussianTile(kShape, 3);
  const CodecParams params = Params(2);
  const TileContext context{params};
  Workspace workspace;
  std::vector<std::byte> out(Codec().BytesMax(params, kShape));
  ASSERT_TRUE(Codec().Encode(context, kShape, tile.source(), workspace, out.data()));
  const auto decoded = [&](std::byte fill) {
    std::memset(out.data(), static_cast<int>(fill), 16);
    std::vector<uint16_t> rows(kShape.elements());
    EXPECT_TRUE(Codec().Decode(context, kShape, out, workspace, TargetOf(rows, kShape)));
    return rows;
  };
  const auto first_channels = [&] {  // the first 32 named
    std::vector<std::byte> mask(16);
    std::fill_n(mask.begin(), 4, std::byte{0xFF});
    std::memcpy(out.data(), mask.data(), 16);
    std::vector<uint16_t> rows(kShape.elements());
    EXPECT_TRUE(Codec().Decode(context, kShape, out, workspace, TargetOf(rows, kShape)));
    return rows;
  };
  const std::vector<uint16_t> want = first_channels();
  EXPECT_EQ(decoded(std::byte{0xFF}), want);
  EXPECT_EQ(decoded(std::byte{0}), want);
}

}  // namespace
}  // namespace larder
