#include "kernels/codec/qjl_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

constexpr uint32_t kDim = 128;

const QuantiserCodec& Codec() {
  static const QjlQuantiser quantiser;
  static const QuantiserCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint16_t size, uint64_t seed = 5) {
  CodecParams params;
  params.bits = 1;
  params.boosted = size;
  params.seed = seed;
  return params;
}

std::vector<std::byte> Encoded(const RandomTile& tile, const CodecParams& params) {
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<std::byte> out(Codec().BytesMax(params, tile.shape));
  if (!Codec().Encode(context, tile.shape, tile.source(), workspace, out.data())) out.clear();
  return out;
}

std::vector<uint16_t> RoundTrip(const RandomTile& tile, const CodecParams& params) {
  return RoundTripOf(Codec(), tile, params);
}

// Scores of unit keys and queries with the cosine `cosine`, over many keys and several matrices.
struct Scores {
  double mean;
  double variance;
};

Scores ScoresOf(uint16_t size, double cosine) {
  std::mt19937_64 random(31);
  std::normal_distribution<double> normal;
  double sum = 0, squares = 0;
  int count = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const RandomTile tile = GaussianTile({512, kDim}, seed + 10);
    const std::vector<uint16_t> decoded = RoundTrip(tile, Params(size, seed));
    for (uint32_t t = 0; t < tile.shape.tokens; ++t) {
      double length = 0, along = 0, across = 0, product = 0;
      std::vector<double> x(kDim), q(kDim);
      for (uint32_t i = 0; i < kDim; ++i) {
        x[i] = tile.at(t * kDim + i);
        q[i] = normal(random);
        length += x[i] * x[i];
        along += x[i] * q[i];
      }
      for (uint32_t i = 0; i < kDim; ++i) {
        q[i] -= along / length * x[i];
        across += q[i] * q[i];
      }
      for (uint32_t i = 0; i < kDim; ++i) {
        const double unit =
            cosine * x[i] / std::sqrt(length) + std::sqrt((1 - cosine * cosine) / across) * q[i];
        product += unit * FloatOfBf16(decoded[t * kDim + i]) / std::sqrt(length);
      }
      sum += product;
      squares += product * product;
      ++count;
    }
  }
  const double mean = sum / count;
  return {mean, squares / count - mean * mean};
}

TEST(QjlQuantiserTest, ScoresHaveTheStatedMeanAndVariance) {
  for (const uint16_t size : {128, 256}) {
    for (const double cosine : {0.0, 0.5, 0.9}) {
      const Scores scores = ScoresOf(size, cosine);
      const double want = (M_PI / 2 - cosine * cosine) / size;
      EXPECT_NEAR(scores.mean, cosine, 4 * std::sqrt(want / 4096) + 0.005) << cosine;
      EXPECT_NEAR(scores.variance, want, 0.1 * want) << size << " " << cosine;
    }
  }
}

TEST(QjlQuantiserTest, KeysDecodeToAnEstimateOnly) {
  const RandomTile tile = GaussianTile({512, kDim}, 1);
  const double want = (M_PI / 2 * kDim - 1) / 256;
  EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(256))), want, 0.1 * want);
}

TEST(QjlQuantiserTest, SizesAreAsDeclared) {
  EXPECT_EQ(Codec().BytesMax(Params(256), {256, 128}), 512 + 256 * 32);
  EXPECT_EQ(Codec().BytesMax(Params(32), {3, 16}), 16 + 3 * 4);
  EXPECT_FALSE(Codec().Accepts(Params(0), {256, 128}));
  EXPECT_FALSE(Codec().Accepts(Params(48), {256, 128}));
  EXPECT_FALSE(Codec().Accepts(Params(1056), {256, 128}));
}

TEST(QjlQuantiserTest, CodesZeroRowsAndRefusesLongOnes) {
  RandomTile tile = GaussianTile({16, kDim}, 6);
  std::fill(tile.elements.begin(), tile.elements.end(), uint16_t{0});
  for (const uint16_t value : RoundTrip(tile, Params(256))) EXPECT_EQ(value & 0x7FFF, 0);
  for (const float scale : {1e5f, 1e30f}) {
    EXPECT_TRUE(Encoded(GaussianTile({16, kDim}, 7, 0, scale), Params(256)).empty());
  }
}

}  // namespace
}  // namespace larder
