#include "kernels/codec/affine_quantiser.h"

#include <gtest/gtest.h>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

const DirectCodec& Codec() {
  static const AffineQuantiser quantiser;
  static const DirectCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint8_t variant, uint8_t bits, uint16_t group, uint8_t transform = 0) {
  CodecParams params;
  params.variant = variant;
  params.bits = bits;
  params.group = group;
  params.transform = transform;
  return params;
}

std::vector<uint8_t> Encoded(const RandomTile& tile, const CodecParams& params) {
  EXPECT_TRUE(Codec().Accepts(params, tile.shape));
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<uint8_t> out(Codec().BytesMax(params, tile.shape));
  const auto bytes = Codec().Encode(context, tile.shape, tile.source(), workspace,
                                    reinterpret_cast<std::byte*>(out.data()));
  if (!bytes) return {};
  EXPECT_EQ(*bytes, out.size());
  return out;
}

std::vector<uint16_t> RoundTrip(const RandomTile& tile, const CodecParams& params) {
  return RoundTripOf(Codec(), tile, params);
}

double ErrorOf(const RandomTile& tile, const CodecParams& params) {
  return RelativeMse(tile, RoundTrip(tile, params));
}

TEST(AffineQuantiserTest, HasTheErrorOfGaussianRows) {
  constexpr uint16_t kGroups[] = {16, 32, 64, 128, 256};
  constexpr double kErrors[3][5] = {{0.107, 0.154, 0.203, 0.249, 0.300},
                                    {0.0195, 0.0281, 0.0367, 0.0459, 0.0548},
                                    {0.0042, 0.0061, 0.0080, 0.0099, 0.0119}};
  const RandomTile tile = GaussianTile({1024, 256}, 1, 0, 1.0f, Dtype::kFp16);
  for (uint8_t bits = 2; bits <= 4; ++bits) {
    for (size_t i = 0; i < 5; ++i) {
      for (const uint8_t variant : {kAffineTokens, kAffineChannels}) {
        const double want = kErrors[bits - 2][i];
        EXPECT_NEAR(ErrorOf(tile, Params(variant, bits, kGroups[i])), want, 0.03 * want)
            << int{bits} << " bits, group " << kGroups[i] << ", axis " << int{variant};
      }
    }
  }
}

TEST(AffineQuantiserTest, StaysWithinItsBound) {
  for (const uint8_t variant : {kAffineTokens, kAffineChannels}) {
    for (const uint8_t bits : {uint8_t{2}, uint8_t{4}, uint8_t{8}}) {
      const RandomTile tile = GaussianTile({64, 64}, 2, 0, 1.0f, Dtype::kFp16);
      const std::vector<uint16_t> decoded = RoundTrip(tile, Params(variant, bits, 32));
      for (size_t begin = 0; begin < decoded.size(); ++begin) {
        const size_t row = begin / 64, channel = begin % 64;
        float low = tile.at(begin), high = low;
        for (size_t i = 0; i < 32; ++i) {
          const size_t at = variant == kAffineTokens ? (row / 32 * 32 + i) * 64 + channel
                                                     : row * 64 + channel / 32 * 32 + i;
          low = std::min(low, tile.at(at));
          high = std::max(high, tile.at(at));
        }
        // Half a step; roundings of the minimum, of the scale and of the result.
        const float bound = (high - low) / static_cast<float>((1 << bits) - 1) / 2 +
                            (high - low) * 0x1p-10f + std::fabs(low) * 0x1p-10f;
        ASSERT_LE(std::fabs(FloatOfFp16(decoded[begin]) - tile.at(begin)), bound);
      }
    }
  }
}

TEST(AffineQuantiserTest, KeysWithOutlierChannelsWantTheirGroupsAlongTokens) {
  const RandomTile tile = GaussianTile({256, 128}, 3, 4);
  for (const uint16_t group : {uint16_t{32}, uint16_t{128}}) {
    EXPECT_LT(ErrorOf(tile, Params(kAffineTokens, 2, group)),
              ErrorOf(tile, Params(kAffineChannels, 2, group)) * 0.5);
  }
}

TEST(AffineQuantiserTest, HasTheSizesOfItsGroups) {
  const TileShape shape{256, 128};
  for (const uint8_t variant : {kAffineTokens, kAffineChannels}) {
    const auto bits = [&](uint8_t width, uint16_t group) {
      return static_cast<double>(Codec().BytesMax(Params(variant, width, group), shape)) * 8 /
             static_cast<double>(shape.elements());
    };
    EXPECT_EQ(bits(2, 128), 2.25);
    EXPECT_EQ(bits(2, 64), 2.5);
    EXPECT_EQ(bits(2, 32), 3.0);
    EXPECT_EQ(bits(3, 32), 4.0);
    EXPECT_EQ(bits(4, 32), 5.0);
    EXPECT_EQ(bits(8, 128), 8.25);
  }
  // 33 tokens in groups of 32: 2 scales and minima, 2 + 1 words, for each of 80 channels.
  EXPECT_EQ(Codec().BytesMax(Params(kAffineTokens, 2, 32), {33, 80}), 80 * (2 * 4 + 3 * 4));
  // 80 channels in groups of 32: 32, 32 and 16. Groups of at most 64 channels.
  EXPECT_EQ(Codec().BytesMax(Params(kAffineChannels, 2, 32), {5, 80}), 5 * (3 * 4 + 20));
  EXPECT_EQ(Codec().BytesMax(Params(kAffineChannels, 4, 128), {5, 64}), 5 * (4 + 32));
}

// Codes 0, 1, 2, 3, 0, ...: 0xE4 in two bits, 0x3210 in four.
TEST(AffineQuantiserTest, WritesGoldenBytes) {
  RandomTile tile{{18, 16}, Dtype::kBf16, std::vector<uint16_t>(18 * 16)};
  for (size_t t = 0; t < 18; ++t) {
    for (size_t i = 0; i < 16; ++i) {
      tile.elements[t * 16 + i] = Bf16OfFloat(static_cast<float>(t % 4) - 2.0f);
    }
  }
  std::vector<uint8_t> want;
  const auto add = [&](std::vector<uint8_t> bytes) {
    for (int i = 0; i < 16; ++i) want.insert(want.end(), bytes.begin(), bytes.end());
  };
  add({0x00, 0x3C}), add({0x00, 0xC0}), add({0xE4, 0xE4, 0xE4, 0xE4});
  // Tokens 16 and 17 are -2 and -1: scale 1/3, codes 0 and 3.
  add({0x55, 0x35}), add({0x00, 0xC0}), add({0x0C, 0x00, 0x00, 0x00});
  EXPECT_EQ(Encoded(tile, Params(kAffineTokens, 2, 16)), want);

  for (size_t i = 0; i < 32; ++i) {
    tile.elements[i] = Bf16OfFloat(static_cast<float>(i % 4) * (i < 16 ? 5.0f : 10.0f) + 1.0f);
  }
  tile.shape.tokens = 2;
  tile.elements.resize(32);
  EXPECT_EQ(Encoded(tile, Params(kAffineChannels, 2, 32)),
            (std::vector<uint8_t>{0x00, 0x45, 0x00, 0x49, 0x00, 0x3C, 0x00, 0x3C,  //
                                  0xE4, 0xE4, 0xE4, 0xE4, 0xE4, 0xE4, 0xE4, 0xE4}));
}

TEST(AffineQuantiserTest, KeepsConstantGroups) {
  RandomTile tile = GaussianTile({40, 64}, 4);
  std::fill(tile.elements.begin(), tile.elements.end(), Bf16OfFloat(-3.5f));
  EXPECT_EQ(RoundTrip(tile, Params(kAffineTokens, 2, 32)), tile.elements);
  EXPECT_EQ(RoundTrip(tile, Params(kAffineChannels, 4, 32)), tile.elements);
}

TEST(AffineQuantiserTest, AcceptsWhatItWrites) {
  const TileShape shape{64, 80};
  EXPECT_TRUE(Codec().Accepts(Params(kAffineTokens, 3, 16), shape));
  EXPECT_FALSE(Codec().Accepts(Params(kAffineChannels, 3, 16), shape));  // 80 = 2 x 32 + 16
  for (const CodecParams& params :
       {Params(2, 2, 32), Params(0, 1, 32), Params(0, 5, 32), Params(0, 2, 0), Params(0, 2, 24),
        Params(0, 2, 272), Params(1, 2, 1040)}) {
    EXPECT_FALSE(Codec().Accepts(params, shape));
  }
}

TEST(AffineQuantiserTest, CentringLowersTheErrorOfOutlierChannels) {
  const RandomTile tile = GaussianTile({256, 128}, 5, 64, 100.0f);
  const CodecParams plain = Params(kAffineChannels, 4, 128);
  EXPECT_LT(ErrorOf(tile, Params(kAffineChannels, 4, 128, kTransformCentre)),
            ErrorOf(tile, plain) * 0.5);
}

}  // namespace
}  // namespace larder
