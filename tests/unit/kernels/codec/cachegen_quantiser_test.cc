#include "kernels/codec/cachegen_quantiser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/unit/kernels/codec/symbol_fixture.h"

namespace larder {
namespace {

CodecParams Params(uint8_t bits) {
  CodecParams params;
  params.bits = bits;
  return params;
}

int LimitOf(uint8_t bits) { return bits == 5 ? 15 : 7; }

// Channels of log-normal strength, as keys and values have them.
RandomTile UnevenTile(TileShape shape, uint64_t seed) {
  RandomTile tile = GaussianTile(shape, seed);
  std::mt19937_64 random(seed + 1);
  std::normal_distribution<float> normal;
  for (uint32_t channel = 0; channel < shape.head_dim; ++channel) {
    const float strength = std::exp(0.7f * normal(random));
    for (size_t i = channel; i < tile.elements.size(); i += shape.head_dim) {
      tile.elements[i] = ElementOf(tile.dtype, tile.at(i) * strength);
    }
  }
  return tile;
}

// The steps of a tile, worked out without the codec: [token][channel].
std::vector<int> StepsOf(const RandomTile& tile, int limit, std::vector<float>& maxima) {
  std::vector<int> steps;
  const size_t dim = tile.shape.head_dim;
  for (uint32_t token = 0; token < tile.shape.tokens; ++token) {
    float largest = 0;
    for (size_t i = 0; i < dim; ++i) {
      largest = std::max(largest, std::fabs(tile.at(token * dim + i)));
    }
    maxima.push_back(FloatOfFp16(Fp16OfFloat(largest)));
    const float factor = static_cast<float>(limit) / maxima.back();
    for (size_t i = 0; i < dim; ++i) {
      steps.push_back(static_cast<int>(std::nearbyint(tile.at(token * dim + i) * factor)));
    }
  }
  return steps;
}

TEST(CacheGenQuantiserTest, LosesNothingBehindTheSteps) {
  const CacheGenQuantiser quantiser;
  for (const uint8_t bits : {4, 5}) {
    for (const TileShape shape : {TileShape{256, 128}, TileShape{33, 80}, TileShape{1, 16}}) {
      const RandomTile tile = UnevenTile(shape, bits);
      const CodedTile coded = RoundTrip(quantiser, tile, Params(bits));
      std::vector<float> maxima;
      const auto limit = static_cast<float>(LimitOf(bits));
      const std::vector<int> steps = StepsOf(tile, LimitOf(bits), maxima);
      for (size_t i = 0; i < steps.size(); ++i) {
        const float largest = maxima[i / shape.head_dim];
        const uint16_t want = Bf16OfFloat(static_cast<float>(steps[i]) * (largest / limit));
        ASSERT_EQ(coded.decoded[i], want);
        ASSERT_LE(std::fabs(FloatOfBf16(want) - tile.at(i)), largest * (0.5f / limit + 0x1p-8f));
      }
    }
  }
}

TEST(CacheGenQuantiserTest, TakesTheLengthOfItsTablesAndTheFlush) {
  const CacheGenQuantiser quantiser;
  for (const uint8_t bits : {4, 5}) {
    for (const uint32_t tokens : {16u, 64u, 256u}) {
      const TileShape shape{tokens, 128};
      const RandomTile tile = UnevenTile(shape, tokens);
      const CodedTile coded = RoundTrip(quantiser, tile, Params(bits));
      std::vector<float> maxima;
      const std::vector<int> steps = StepsOf(tile, LimitOf(bits), maxima);
      double length = 0;
      for (size_t i = 0; i < steps.size(); ++i) {
        const auto table = static_cast<uint32_t>(coded.bytes[i % 128]);
        const size_t symbol = static_cast<size_t>(steps[i] + LimitOf(bits));
        length -= std::log2(CacheGenFrequencies(bits, table)[symbol] / 4096.0);
      }
      const double side = static_cast<double>(quantiser.SideBytes(Params(bits), shape));
      const double flush = 4.0 * RansLanes(shape.elements());
      EXPECT_EQ(side, 128 + 2 * tokens);
      EXPECT_LE(coded.bytes.size(), side + flush + length / 8 * 1.005);
      EXPECT_GE(coded.bytes.size(), side + length / 8 * 0.995);
    }
  }
}

// Adaptive tables code every channel at its own entropy, and then stand in the chunk.
TEST(CacheGenQuantiserTest, FixedTablesBeatStoredOnes) {
  const CacheGenQuantiser quantiser;
  for (const uint8_t bits : {4, 5}) {
    for (const uint32_t tokens : {16u, 64u, 256u}) {
      const RandomTile tile = UnevenTile({tokens, 128}, tokens + 9);
      const CodedTile coded = RoundTrip(quantiser, tile, Params(bits));
      std::vector<float> maxima;
      const std::vector<int> steps = StepsOf(tile, LimitOf(bits), maxima);
      double entropy = 0;
      for (size_t channel = 0; channel < 128; ++channel) {
        double counts[31] = {};
        for (size_t i = channel; i < steps.size(); i += 128) ++counts[steps[i] + LimitOf(bits)];
        for (const double count : counts) {
          if (count > 0) entropy -= count * std::log2(count / tokens);
        }
      }
      const double stored = entropy / 8 + 2.0 * tokens + 128 * 33 * 2;
      RecordProperty("bits" + std::to_string(bits) + "_" + std::to_string(tokens),
                     std::to_string(coded.bits_per_element()));
      EXPECT_LT(coded.bytes.size(), stored * 0.75);
      if (tokens == 256) {  // the fixed tables fit: all of the side information within 7 %
        EXPECT_LT(coded.bytes.size(), (entropy / 8) * 1.07 + 2.0 * tokens);
      }
    }
  }
}

TEST(CacheGenQuantiserTest, HasTheSizeOfGaussianRows) {
  const CacheGenQuantiser quantiser;
  const RandomTile tile = GaussianTile({256, 128}, 5);
  EXPECT_NEAR(RoundTrip(quantiser, tile, Params(5)).bits_per_element(), 4.66, 0.05);
  EXPECT_NEAR(RoundTrip(quantiser, tile, Params(4)).bits_per_element(), 3.57, 0.05);
}

TEST(CacheGenQuantiserTest, RefusesTableNumbersBeyondTheLast) {
  const CacheGenQuantiser quantiser;
  const SymbolCodec codec(quantiser);
  const RandomTile tile = GaussianTile({32, 64}, 6);
  const CodecParams params = Params(5);
  const CodedTile coded = RoundTrip(quantiser, tile, params);
  Workspace workspace;
  std::vector<uint16_t> out(tile.elements.size());
  for (const int number : {64, 200, 255}) {
    std::vector<std::byte> damaged = coded.bytes;
    damaged[63] = static_cast<std::byte>(number);
    EXPECT_FALSE(codec.Decode({params}, tile.shape, damaged, workspace, TargetOf(out, tile.shape)));
  }
}

TEST(CacheGenQuantiserTest, RefusesTokensBeyondFp16) {
  const CacheGenQuantiser quantiser;
  const SymbolCodec codec(quantiser);
  const RandomTile tile = GaussianTile({16, 64}, 7, 0, 1e6f);
  const CodecParams params = Params(4);
  Workspace workspace;
  std::vector<std::byte> out(codec.BytesMax(params, tile.shape));
  EXPECT_FALSE(codec.Encode({params}, tile.shape, tile.source(), workspace, out.data()));
}

}  // namespace
}  // namespace larder
