#include "kernels/codec/uniform_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/kernels/codec/symbol_fixture.h"

namespace larder {
namespace {

CodecParams Params(uint8_t bits, uint8_t transform = kTransformRotate) {
  CodecParams params;
  params.bits = bits;
  params.transform = transform;
  params.seed = 7;
  return params;
}

struct Expected {
  uint8_t bits;
  double rate;        // of the symbols
  double distortion;  // of the centroids
};
constexpr Expected kExpected[] = {
    {2, 1.799, 0.1175}, {3, 2.682, 0.03454}, {4, 3.613, 0.009497}, {5, 4.575, 0.002499}};

TEST(UniformQuantiserTest, HasTheRateAndTheErrorOfEntropyCodedSteps) {
  const UniformQuantiser quantiser;
  const RandomTile tile = GaussianTile({256, 128}, 1);
  for (const Expected& expected : kExpected) {
    const CodedTile coded = RoundTrip(quantiser, tile, Params(expected.bits));
    const double error = RelativeMse(tile, coded.decoded);
    // Per row: the scale; per tile: the states, of which the symbols fill a part.
    const double side = 16.0 / 128 + 1024.0 / tile.shape.elements();
    RecordProperty("bits" + std::to_string(expected.bits),
                   std::to_string(coded.bits_per_element()));
    RecordProperty("mse" + std::to_string(expected.bits), std::to_string(error));
    EXPECT_LE(coded.bits_per_element(), expected.rate * 1.0025 + side + 0.01);
    EXPECT_GE(coded.bits_per_element(), expected.rate * 0.99 + side - 0.03);
    // The unbiased scale takes D to D / (1 - D).
    const double distortion = expected.distortion / (1 - expected.distortion);
    EXPECT_NEAR(error, distortion, 0.03 * distortion);
  }
}

TEST(UniformQuantiserTest, KeepsInnerProducts) {
  const UniformQuantiser quantiser;
  const RandomTile tile = GaussianTile({256, 128}, 2);
  for (const Expected& expected : kExpected) {
    const CodedTile coded = RoundTrip(quantiser, tile, Params(expected.bits));
    for (size_t row = 0; row < 256; ++row) {
      double square = 0, product = 0;
      for (size_t i = row * 128; i < (row + 1) * 128; ++i) {
        square += double{tile.at(i)} * tile.at(i);
        product += double{tile.at(i)} * FloatOfBf16(coded.decoded[i]);
      }
      EXPECT_NEAR(product / square, 1.0, 0.003);
    }
  }
}

TEST(UniformQuantiserTest, KeepsOutlierChannelsWhenCentred) {
  const UniformQuantiser quantiser;
  const RandomTile tile = GaussianTile({256, 128}, 3, 4);
  const double plain = RelativeMse(tile, RoundTrip(quantiser, tile, Params(3)).decoded);
  const uint8_t both = kTransformRotate | kTransformCentre;
  const double centred = RelativeMse(tile, RoundTrip(quantiser, tile, Params(3, both)).decoded);
  EXPECT_LT(centred, 0.3 * plain);
}

TEST(UniformQuantiserTest, SignsKeepRowsThatLookLikeHadamardRowsGaussian) {
  const UniformQuantiser quantiser;
  RandomTile tile = GaussianTile({64, 128}, 4);
  for (size_t i = 0; i < tile.elements.size(); ++i) {
    tile.elements[i] = Bf16OfFloat((i / 128 >> (i % 7) & 1) != 0 ? 1.0f : -1.0f);
  }
  EXPECT_LT(RelativeMse(tile, RoundTrip(quantiser, tile, Params(3)).decoded), 0.06);
}

TEST(UniformQuantiserTest, CodesZeroRowsExactly) {
  const UniformQuantiser quantiser;
  RandomTile tile = GaussianTile({32, 64}, 5);
  std::fill(tile.elements.begin(), tile.elements.begin() + 20 * 64, uint16_t{0});
  const CodedTile coded = RoundTrip(quantiser, tile, Params(4));
  for (size_t i = 0; i < 20 * 64; ++i) EXPECT_EQ(coded.decoded[i] & 0x7FFF, 0);
  EXPECT_LT(RelativeMse(tile, coded.decoded), 0.012);
}

TEST(UniformQuantiserTest, RefusesScalesBeyondFp16) {
  const UniformQuantiser quantiser;
  const SymbolCodec codec(quantiser);
  for (const float scale : {1e5f, 1e20f, 3e37f}) {
    const RandomTile tile = GaussianTile({16, 64}, 6, 0, scale);
    const CodecParams params = Params(3);
    Workspace workspace;
    std::vector<std::byte> out(codec.BytesMax(params, tile.shape));
    EXPECT_FALSE(codec.Encode({params}, tile.shape, tile.source(), workspace, out.data())) << scale;
  }
}

TEST(UniformQuantiserTest, AcceptsWhatItWrites) {
  const UniformQuantiser quantiser;
  for (int bits = 0; bits < 256; ++bits) {
    EXPECT_EQ(quantiser.Accepts(Params(static_cast<uint8_t>(bits)), {16, 64}),
              bits >= 2 && bits <= 5);
  }
  EXPECT_FALSE(quantiser.Accepts(Params(3, 0), {16, 64}));  // steps are made for rotated rows
}

}  // namespace
}  // namespace larder
