#include "kernels/codec/kitty_quantiser.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

const DirectCodec& Codec() {
  static const KittyQuantiser quantiser;
  static const DirectCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint16_t boosted) {
  CodecParams params;
  params.bits = 2;
  params.group = kKittyPageTokens;
  params.boosted = boosted;
  return params;
}

std::vector<uint8_t> Encoded(const RandomTile& tile, const CodecParams& params) {
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<uint8_t> out(Codec().BytesMax(params, tile.shape));
  const auto bytes = Codec().Encode(context, tile.shape, tile.source(), workspace,
                                    reinterpret_cast<std::byte*>(out.data()));
  EXPECT_EQ(bytes, out.size());
  return out;
}

std::vector<uint16_t> Decoded(const RandomTile& tile, const CodecParams& params,
                              const std::vector<uint8_t>& in) {
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<uint16_t> decoded(tile.elements.size());
  EXPECT_TRUE(Codec().Decode(context, tile.shape, std::as_bytes(std::span(in)), workspace,
                             TargetOf(decoded, tile.shape)));
  return decoded;
}

// Mean squared error of one channel over its variance.
double ErrorOf(const RandomTile& tile, const std::vector<uint16_t>& decoded, size_t channel) {
  double mean = 0, variance = 0, error = 0;
  for (size_t i = channel; i < decoded.size(); i += tile.shape.head_dim) mean += tile.at(i);
  mean /= tile.shape.tokens;
  for (size_t i = channel; i < decoded.size(); i += tile.shape.head_dim) {
    const double read =
        tile.dtype == Dtype::kBf16 ? FloatOfBf16(decoded[i]) : FloatOfFp16(decoded[i]);
    variance += (tile.at(i) - mean) * (tile.at(i) - mean);
    error += (tile.at(i) - read) * (tile.at(i) - read);
  }
  return error / variance;
}

constexpr size_t kMap = 128 * 4, kPlaneA = kMap + 128, kPlaneB = kPlaneA + 8 * 128 * 4;

TEST(KittyQuantiserTest, HasTheSizeOfItsPages) {
  EXPECT_EQ(Codec().BytesMax(Params(16), {256, 128}) * 8.0 / (256 * 128), 2.5625);
  EXPECT_EQ(Codec().BytesMax(Params(12), {128, 96}) * 8.0 / (128 * 96), 2 + 0.25 + 40.0 / 128);
  // A last page of 33 tokens: 3 words for each of 128 channels and 16 boosted ones.
  EXPECT_EQ(Codec().BytesMax(Params(16), {161, 128}),
            Codec().BytesMax(Params(16), {128, 128}) + 128 * 5 + 3 * 144 * 4);
}

TEST(KittyQuantiserTest, BoostsTheStrongestChannels) {
  RandomTile tile = GaussianTile({256, 128}, 1, 0, 1.0f, Dtype::kFp16);
  const size_t strong[16] = {3, 7, 8, 20, 31, 32, 33, 50, 64, 70, 77, 90, 100, 111, 126, 127};
  for (size_t t = 0; t < 256; ++t) {
    for (const size_t i : strong)
      tile.elements[t * 128 + i] = Fp16OfFloat(tile.at(t * 128 + i) + 9);
  }
  const std::vector<uint8_t> in = Encoded(tile, Params(16));
  const std::vector<uint16_t> decoded = Decoded(tile, Params(16), in);
  double boosted = 0, plain = 0;
  for (size_t i = 0; i < 128; ++i) {
    const auto* found = std::find(std::begin(strong), std::end(strong), i);
    EXPECT_EQ(in[kMap + i], found - std::begin(strong));  // 16 for the others
    (found == std::end(strong) ? plain : boosted) += ErrorOf(tile, decoded, i);
  }
  // The errors of 4 and of 2 bits for g = 128, over few groups.
  EXPECT_NEAR(boosted / 16, 0.0099, 0.1 * 0.0099);
  EXPECT_NEAR(plain / 112, 0.249, 0.05 * 0.249);
}

TEST(KittyQuantiserTest, TakesLowerChannelsWhenTied) {
  RandomTile tile = GaussianTile({16, 128}, 2);
  std::fill(tile.elements.begin(), tile.elements.end(), Bf16OfFloat(-1.0f));
  for (size_t t = 0; t < 16; ++t) tile.elements[t * 128 + 100] = Bf16OfFloat(2.0f);
  const std::vector<uint8_t> in = Encoded(tile, Params(4));
  for (size_t i = 0; i < 128; ++i) {
    EXPECT_EQ(in[kMap + i], i < 3 ? i : i == 100 ? 3 : 4);
  }
}

TEST(KittyQuantiserTest, PlaneBIsForBoostedChannelsAlone) {
  const RandomTile tile = GaussianTile({128, 128}, 3, 16);
  std::vector<uint8_t> in = Encoded(tile, Params(16));
  ASSERT_EQ(in.size(), kPlaneB + 8 * 16 * 4);
  const std::vector<uint16_t> decoded = Decoded(tile, Params(16), in);
  std::fill(in.begin() + kPlaneB, in.end(), uint8_t{0});
  const std::vector<uint16_t> low = Decoded(tile, Params(16), in);
  for (size_t i = 0; i < 128; ++i) {
    const double full = ErrorOf(tile, decoded, i), part = ErrorOf(tile, low, i);
    if (i < 16) {
      EXPECT_GT(part, 20 * full);  // plane A has its low bits: no coarse version
    } else {
      EXPECT_EQ(part, full);
    }
  }
}

// Channel 3 counts to 15; the others go 0, 1, 2, 3, 0, ...
TEST(KittyQuantiserTest, WritesGoldenBytes) {
  RandomTile tile{{16, 16}, Dtype::kBf16, std::vector<uint16_t>(256)};
  std::vector<uint8_t> want;
  const auto add = [&](int times, std::vector<uint8_t> bytes) {
    for (int i = 0; i < times; ++i) want.insert(want.end(), bytes.begin(), bytes.end());
  };
  for (size_t t = 0; t < 16; ++t) {
    for (size_t i = 0; i < 16; ++i) {
      tile.elements[t * 16 + i] = Bf16OfFloat(static_cast<float>(i == 3 ? t : t % 4));
    }
  }
  add(16, {0x00, 0x3C}), add(16, {0x00, 0x00});
  add(3, {1}), add(1, {0}), add(12, {1});
  add(16, {0xE4, 0xE4, 0xE4, 0xE4}), add(1, {0x00, 0x55, 0xAA, 0xFF});
  EXPECT_EQ(Encoded(tile, Params(1)), want);
  EXPECT_EQ(Decoded(tile, Params(1), want), tile.elements);
}

TEST(KittyQuantiserTest, AcceptsWhatItWrites) {
  const TileShape shape{64, 64};
  EXPECT_TRUE(Codec().Accepts(Params(64), shape));
  EXPECT_FALSE(Codec().Accepts(Params(65), shape));
  EXPECT_FALSE(Codec().Accepts(Params(0), shape));
  EXPECT_FALSE(Codec().Accepts(Params(256), {64, 512}));
  EXPECT_FALSE(Codec().Accepts(Params(16), {64, 1040}));
  CodecParams params = Params(8);
  params.group = 64;
  EXPECT_FALSE(Codec().Accepts(params, shape));
}

}  // namespace
}  // namespace larder
