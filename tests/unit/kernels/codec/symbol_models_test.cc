#include "kernels/codec/symbol_models.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "kernels/codec/cachegen_quantiser.h"

namespace larder {
namespace {

double NormalBelow(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

TEST(SymbolModelsTest, GaussianFrequenciesAndCentroidsAreThoseOfTheNormalDistribution) {
  for (const double sigma : {0.16, 1.0 / 1.264, 1.0 / 0.174, 15.9}) {
    const int limit = 15;
    const SymbolModel model = GaussianModel(sigma, limit);
    ASSERT_EQ(model.frequencies.size(), 31u);
    EXPECT_EQ(std::accumulate(model.frequencies.begin(), model.frequencies.end(), 0u), kRansScale);
    for (int k = -limit; k <= limit; ++k) {
      const double high = k == limit ? 1.0 : NormalBelow((k + 0.5) / sigma);
      const double low = k == -limit ? 0.0 : NormalBelow((k - 0.5) / sigma);
      const uint32_t frequency = model.frequencies[static_cast<size_t>(k + limit)];
      // Symbols that hardly occur have 1, which the likely ones pay for.
      EXPECT_NEAR(frequency, std::max(1.0, (high - low) * kRansScale), 1 + 0.02 * frequency);
      const float centroid = model.centroids[static_cast<size_t>(k + limit)];
      EXPECT_EQ(centroid, -model.centroids[static_cast<size_t>(limit - k)]);
      if (k != limit && k != -limit && high - low > 1e-12) {
        EXPECT_GT(centroid, (k - 0.5) / sigma);
        EXPECT_LT(centroid, (k + 0.5) / sigma);
      }
    }
  }
  // One step of both sides: the mean of |z| where |z| > 0.5, from tables of the normal distribution.
  const SymbolModel coarse = GaussianModel(1.0, 1);
  EXPECT_NEAR(coarse.centroids[2], 0.3520653 / 0.3085375, 1e-6);
}

TEST(SymbolModelsTest, LaplaceFrequenciesFallByOneFactorPerStep) {
  const SymbolModel model = LaplaceModel(2.0, 7);
  EXPECT_EQ(std::accumulate(model.frequencies.begin(), model.frequencies.end(), 0u), kRansScale);
  EXPECT_TRUE(model.centroids.empty());
  EXPECT_NEAR(model.frequencies[7], (1.0 - std::exp(-std::sqrt(0.5) / 2)) * kRansScale, 3.0);
  for (size_t k = 8; k < 13; ++k) {
    EXPECT_NEAR(static_cast<double>(model.frequencies[k + 1]) / model.frequencies[k],
                std::exp(-std::sqrt(0.5)), 0.02);
  }
}

// FNV-1a over words.
uint64_t Mixed(uint64_t hash, uint32_t word) { return (hash ^ word) * 0x100000001B3ull; }
constexpr uint64_t kMixStart = 0xCBF29CE484222325ull;

// Tiles decode by these numbers: they may never change, on no machine.
TEST(SymbolModelsTest, GivesTheGoldenFrequencies) {
  EXPECT_EQ(GaussianModel(1.0 / 1.264, 4).frequencies,
            (std::vector<uint32_t>{1, 3, 115, 961, 1936, 961, 115, 3, 1}));
  uint64_t uniform = kMixStart;
  const std::pair<double, int> grids[] = {{1.264, 4}, {0.655, 7}, {0.339, 13}, {0.174, 25}};
  for (const auto& [step, limit] : grids) {
    const SymbolModel model = GaussianModel(1.0 / step, limit);
    for (const uint32_t frequency : model.frequencies) uniform = Mixed(uniform, frequency);
    for (const float centroid : model.centroids) {
      uniform = Mixed(uniform, std::bit_cast<uint32_t>(centroid));
    }
  }
  EXPECT_EQ(uniform, 0x65487F92E8625633ull);
  for (const uint8_t bits : {4, 5}) {
    uint64_t cachegen = kMixStart;
    for (uint32_t table = 0; table < kCacheGenTables; ++table) {
      for (const uint32_t frequency : CacheGenFrequencies(bits, table)) {
        cachegen = Mixed(cachegen, frequency);
      }
    }
    EXPECT_EQ(cachegen, bits == 4 ? 0xEFD386756A148FEFull : 0xB358463AC6526861ull);
  }
}

TEST(SymbolModelsTest, SetKeepsTablesOneBehindTheOther) {
  RansTableSet set;
  set.Add({2048, 2048});
  set.Add({4095, 1});
  const RansTables view = set.View();
  EXPECT_EQ(view.alphabet, 2u);
  EXPECT_EQ(view.slots[0], 2047u << 8);
  EXPECT_EQ(view.slots[4095], 1u | 2047u << 8 | 2047u << 20);
  EXPECT_EQ(view.slots[4096 + 4095], 1u);
  EXPECT_EQ(view.ranges[1], 2048u | 2048u << 12);
  EXPECT_EQ(view.ranges[3], 4095u | 1u << 12);
  EXPECT_EQ(view.reciprocals[0], 1u << 21);
  EXPECT_EQ(view.reciprocals[3], 0xFFFFFFFFu);
}

}  // namespace
}  // namespace larder
