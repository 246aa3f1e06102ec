#include "kernels/codec/turbo_prod_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

constexpr uint32_t kDim = 128;
constexpr double kDistortion[] = {0.3609, 0.1160, 0.03397};  // of 1 to 3 bits, d = 128

const QuantiserCodec& Codec() {
  static const TurboProdQuantiser quantiser;
  static const QuantiserCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint8_t bits, uint64_t seed = 5) {
  CodecParams params;
  params.bits = bits;
  params.transform = kTransformRotate;
  params.seed = seed;
  return params;
}

std::vector<uint16_t> RoundTrip(const RandomTile& tile, const CodecParams& params) {
  return RoundTripOf(Codec(), tile, params);
}

// Mean and variance of <q, x'> / (|q| |x|) for queries q with the cosine `cosine` to their row.
struct Estimate {
  double mean;
  double variance;
};

Estimate EstimateOf(const RandomTile& tile, const std::vector<uint16_t>& decoded, double cosine) {
  std::mt19937_64 random(31);
  std::normal_distribution<double> normal;
  double sum = 0, squares = 0;
  for (uint32_t t = 0; t < tile.shape.tokens; ++t) {
    std::vector<double> x(kDim), q(kDim);
    double length = 0, along = 0, across = 0, product = 0;
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
  }
  const double mean = sum / tile.shape.tokens;
  return {mean, squares / tile.shape.tokens - mean * mean};
}

TEST(TurboProdQuantiserTest, InnerProductsAreUnbiased) {
  const RandomTile tile = GaussianTile({4096, kDim}, 1);
  for (uint8_t bits = 2; bits <= 4; ++bits) {
    const std::vector<uint16_t> decoded = RoundTrip(tile, Params(bits));
    EXPECT_NEAR(EstimateOf(tile, decoded, 1.0).mean, 1, 0.02) << int{bits};
    EXPECT_NEAR(EstimateOf(tile, decoded, 0.5).mean, 0.5, 0.01) << int{bits};
  }
}

TEST(TurboProdQuantiserTest, OrthogonalPairsHaveTheStatedVariance) {
  const RandomTile tile = GaussianTile({4096, kDim}, 2);
  for (uint8_t bits = 2; bits <= 4; ++bits) {
    const Estimate estimate = EstimateOf(tile, RoundTrip(tile, Params(bits)), 0.0);
    const double want = M_PI / 2 * kDistortion[bits - 2];
    EXPECT_NEAR(estimate.mean, 0, 0.005);
    EXPECT_NEAR(estimate.variance * kDim, want, 0.1 * want) << int{bits};
  }
}

// One pair, many seeds: the mean over seeds is the truth.
TEST(TurboProdQuantiserTest, IsUnbiasedOverSeeds) {
  const RandomTile tile = GaussianTile({1, kDim}, 3), query = GaussianTile({1, kDim}, 4);
  double truth = 0, lengths[2] = {0, 0}, sum = 0;
  for (uint32_t i = 0; i < kDim; ++i) {
    truth += tile.at(i) * query.at(i);
    lengths[0] += tile.at(i) * tile.at(i);
    lengths[1] += query.at(i) * query.at(i);
  }
  constexpr int kSeeds = 200;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const std::vector<uint16_t> decoded = RoundTrip(tile, Params(3, seed));
    for (uint32_t i = 0; i < kDim; ++i) sum += query.at(i) * FloatOfBf16(decoded[i]);
  }
  const double deviation = std::sqrt(M_PI / 2 * kDistortion[1] / kDim * lengths[0] * lengths[1]);
  EXPECT_NEAR(sum / kSeeds, truth, 3 * deviation / std::sqrt(double{kSeeds}));
}

TEST(TurboProdQuantiserTest, SizesAreAsDeclared) {
  EXPECT_EQ(Codec().BytesMax(Params(2), {256, 128}), 1024 + 256 * (16 + 16));
  EXPECT_EQ(Codec().BytesMax(Params(4), {256, 128}), 1024 + 256 * (48 + 16));
  EXPECT_EQ(Codec().BytesMax(Params(4), {5, 80}), 32 + 5 * (36 + 10));
  EXPECT_EQ(Codec().BytesMax(Params(3), {16, 128}) * 8, (3 * 128 + 32) * 16);
}

TEST(TurboProdQuantiserTest, CodesZeroRowsAndRefusesLongOnes) {
  RandomTile tile = GaussianTile({16, kDim}, 6);
  std::fill(tile.elements.begin(), tile.elements.end(), uint16_t{0});
  for (const uint16_t value : RoundTrip(tile, Params(3))) EXPECT_EQ(value & 0x7FFF, 0);
  const RandomTile large = GaussianTile({16, kDim}, 7, 0, 1e20f);
  const CodecParams params = Params(3);
  const TileContext context{params};
  Workspace workspace;
  std::vector<std::byte> out(Codec().BytesMax(params, large.shape));
  EXPECT_FALSE(Codec().Encode(context, large.shape, large.source(), workspace, out.data()));
}

}  // namespace
}  // namespace larder
