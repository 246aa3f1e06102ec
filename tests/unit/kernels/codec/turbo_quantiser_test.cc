#include "kernels/codec/turbo_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

constexpr uint32_t kDim = 128;
constexpr double kDistortion[] = {0.3609, 0.1160, 0.03397, 0.00931};  // d = 128

const QuantiserCodec& Codec() {
  static const TurboQuantiser quantiser;
  static const QuantiserCodec codec(quantiser);
  return codec;
}

CodecParams Params(uint8_t bits, uint8_t variant, uint8_t transform = kTransformRotate) {
  CodecParams params;
  params.bits = bits;
  params.variant = variant;
  params.transform = transform;
  params.seed = 77;
  return params;
}

std::vector<uint16_t> RoundTrip(const RandomTile& tile, const CodecParams& params) {
  return RoundTripOf(Codec(), tile, params);
}

TEST(TurboQuantiserTest, HasTheDistortionOfItsCodebook) {
  const RandomTile tile = GaussianTile({1024, kDim}, 1);
  for (uint8_t bits = 1; bits <= 4; ++bits) {
    const double want = kDistortion[bits - 1];
    EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(bits, kTurboPlain))), want, 0.03 * want);
    EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(bits, kTurboUnbiased))), want / (1 - want),
                0.03 * want / (1 - want));
    const double normed = 2 - 2 * std::sqrt(1 - want);
    EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(bits, kTurboNormed))), normed,
                0.03 * normed);
  }
}

TEST(TurboQuantiserTest, HasItUnderADenseRotationToo) {
  const RandomTile tile = GaussianTile({1024, kDim}, 1);
  for (uint8_t bits = 1; bits <= 4; ++bits) {
    const double want = kDistortion[bits - 1];
    const CodecParams params = Params(bits, kTurboPlain, kTransformHaar);
    EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, params)), want, 0.03 * want);
  }
}

struct Estimate {
  double slope;     // of <q, x'> against <q, x>
  double variance;  // of <q, x'>, times D
};

// Rows and queries of unit length with <q, x> = 1/2.
Estimate EstimateOf(uint8_t bits, uint8_t variant) {
  RandomTile tile = GaussianTile({8192, kDim}, 2);
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  const std::vector<uint16_t> decoded = RoundTrip(tile, Params(bits, variant));
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
      const double unit = 0.5 * x[i] / std::sqrt(length) + std::sqrt(0.75 / across) * q[i];
      product += unit * FloatOfBf16(decoded[t * kDim + i]) / std::sqrt(length);
    }
    sum += product;
    squares += product * product;
  }
  const double mean = sum / tile.shape.tokens;
  return {2 * mean, kDim * (squares / tile.shape.tokens - mean * mean)};
}

TEST(TurboQuantiserTest, InnerProductsHaveTheSlopeOfTheScaleRule) {
  for (uint8_t bits = 1; bits <= 4; ++bits) {
    const double kept = 1 - kDistortion[bits - 1];
    EXPECT_NEAR(EstimateOf(bits, kTurboPlain).slope, kept, 0.01);
    EXPECT_NEAR(EstimateOf(bits, kTurboNormed).slope, std::sqrt(kept), 0.01);
    EXPECT_NEAR(EstimateOf(bits, kTurboUnbiased).slope, 1, 0.01);
  }
}

// Variances measured for d = 128, and for the unbiased scale its formula.
TEST(TurboQuantiserTest, InnerProductsHaveTheStatedVariance) {
  constexpr double kPlain[] = {0.167, 0.114, 0.044, 0.013};
  constexpr double kNormed[] = {0.263, 0.089, 0.026, 0.0069};
  constexpr double kUnbiased[] = {0.407, 0.098, 0.0265, 0.0070};
  for (uint8_t bits = 1; bits <= 4; ++bits) {
    const auto check = [bits](uint8_t variant, double want) {
      EXPECT_NEAR(EstimateOf(bits, variant).variance, want, 0.1 * want) << int{bits};
    };
    check(kTurboPlain, kPlain[bits - 1]);
    check(kTurboNormed, kNormed[bits - 1]);
    check(kTurboUnbiased, kUnbiased[bits - 1]);
    check(kTurboUnbiased, 0.75 * kDistortion[bits - 1] / (1 - kDistortion[bits - 1]));
  }
}

// Without the signs these rows collapse onto one coordinate: relative MSE 0.61 at 3 bits.
TEST(TurboQuantiserTest, RowsAlignedWithTheRotationAreAsGoodAsOthers) {
  RandomTile tile = GaussianTile({128, kDim}, 4);
  for (uint32_t row = 0; row < 128; ++row) {
    for (uint32_t i = 0; i < kDim; ++i) {
      const bool minus = (std::popcount(row & i) & 1) != 0;
      tile.elements[row * kDim + i] = Bf16OfFloat(minus ? -2.5f : 2.5f);
    }
  }
  EXPECT_LT(RelativeMse(tile, RoundTrip(tile, Params(3, kTurboPlain))), 0.05);
  std::fill(tile.elements.begin(), tile.elements.end(), Bf16OfFloat(7.0f));
  EXPECT_LT(RelativeMse(tile, RoundTrip(tile, Params(3, kTurboPlain))), 0.06);
}

TEST(TurboQuantiserTest, OtherDimensionsAreAsGood) {
  for (const uint32_t dim : {64u, 80u, 96u, 256u, 512u, 576u}) {
    const RandomTile tile = GaussianTile({256, dim}, dim);
    EXPECT_NEAR(RelativeMse(tile, RoundTrip(tile, Params(3, kTurboPlain))), 0.034, 0.034 * 0.06)
        << dim;
  }
}

TEST(TurboQuantiserTest, SizesAreAsDeclared) {
  EXPECT_EQ(Codec().BytesMax(Params(4, 0), {256, 128}), 512 + 256 * 64);
  EXPECT_EQ(Codec().BytesMax(Params(3, 0), {256, 128}), 512 + 256 * 48);
  EXPECT_EQ(Codec().BytesMax(Params(1, 0), {5, 16}), 16 + 5 * 2);
  EXPECT_EQ(Codec().BytesMax(Params(3, 0), {5, 80}), 16 + 5 * 36);
  EXPECT_EQ(Codec().BytesMax(Params(2, 0, kTransformRotate | kTransformCentre), {16, 128}),
            256 + 32 + 16 * 32);
}

// By hand, without rotation: |y|^2 = 16, so y / rms = y; each +-1 lies in the cell of 0.9423.
TEST(TurboQuantiserTest, WritesTheBytesWorkedOutByHand) {
  RandomTile tile = GaussianTile({1, 16}, 5);
  for (uint32_t i = 0; i < 16; ++i) tile.elements[i] = Bf16OfFloat(i % 2 == 0 ? 1.0f : -1.0f);
  const CodecParams params = Params(4, kTurboPlain, 0);
  const TileContext context{params};
  Workspace workspace;
  std::vector<std::byte> out(Codec().BytesMax(params, tile.shape));
  ASSERT_EQ(out.size(), 24u);
  ASSERT_TRUE(Codec().Encode(context, tile.shape, tile.source(), workspace, out.data()));
  EXPECT_EQ(out[0], std::byte{0x00});
  EXPECT_EQ(out[1], std::byte{0x3C});  // scale 1
  for (size_t i = 2; i < 16; ++i) EXPECT_EQ(out[i], std::byte{0});
  // k = 3: codes 11 and 4, low nibble first.
  for (size_t i = 16; i < 24; ++i) EXPECT_EQ(out[i], std::byte{0x4B});
}

TEST(TurboQuantiserTest, CodesZeroRowsAndRefusesLongOnes) {
  RandomTile tile = GaussianTile({16, kDim}, 6);
  std::fill(tile.elements.begin(), tile.elements.end(), uint16_t{0});
  for (const uint8_t variant : {kTurboUnbiased, kTurboPlain, kTurboNormed}) {
    const std::vector<uint16_t> decoded = RoundTrip(tile, Params(4, variant));
    for (const uint16_t value : decoded) EXPECT_EQ(value & 0x7FFF, 0);
    for (const float scale : {1e5f, 1e20f, 1e38f}) {
      const RandomTile large = GaussianTile({16, kDim}, 7, 0, scale);
      const CodecParams params = Params(4, variant);
      const TileContext context{params};
      Workspace workspace;
      std::vector<std::byte> out(Codec().BytesMax(params, large.shape));
      EXPECT_FALSE(Codec().Encode(context, large.shape, large.source(), workspace, out.data()));
    }
  }
}

}  // namespace
}  // namespace larder
