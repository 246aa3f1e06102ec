#include "client/cli/kv_profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace larder::cli {
namespace {

KvProfileOptions Small(KvProfile profile) {
  return {.profile = profile, .layers = 1, .heads = 4, .seed = 3};
}

struct Moments {
  std::vector<double> mean;
  std::vector<double> deviation;
};

Moments MomentsOf(const std::vector<float>& rows, uint32_t dim) {
  Moments moments{std::vector<double>(dim), std::vector<double>(dim)};
  const double count = static_cast<double>(rows.size()) / dim;
  for (size_t i = 0; i < rows.size(); ++i) moments.mean[i % dim] += rows[i] / count;
  for (size_t i = 0; i < rows.size(); ++i) {
    moments.deviation[i % dim] += std::pow(rows[i] - moments.mean[i % dim], 2) / count;
  }
  for (double& value : moments.deviation) value = std::sqrt(value);
  return moments;
}

TEST(KvProfileTest, GaussianIsOfUnitVariance) {
  const KvCache cache = MakeKv(Small(KvProfile::kGaussian));
  for (const StreamKind kind : {StreamKind::kKey, StreamKind::kValue}) {
    const Moments all = MomentsOf(RowsOfHead(cache, kind, 0, 1), 1);
    EXPECT_NEAR(all.mean[0], 0, 0.02);
    EXPECT_NEAR(all.deviation[0], 1, 0.02);
  }
}

TEST(KvProfileTest, OnlyProfileBHasOutlierChannels) {
  for (const KvProfile profile : {KvProfile::kKeysA, KvProfile::kKeysB}) {
    const KvCache cache = MakeKv(Small(profile));
    for (uint32_t head = 0; head < 4; ++head) {
      const std::vector<float> keys = RowsOfHead(cache, StreamKind::kKey, 0, head);
      // RoPE moves an outlier within its pair, whose magnitude it keeps.
      int outliers = 0;
      for (uint32_t pair = 0; pair < 64; ++pair) {
        double magnitude = 0;
        for (uint32_t token = 0; token < 256; ++token) {
          magnitude += std::hypot(keys[token * 128 + pair], keys[token * 128 + pair + 64]) / 256;
        }
        outliers += magnitude > 7 ? 1 : 0;
      }
      const bool planted = profile == KvProfile::kKeysB;
      EXPECT_GE(outliers, planted ? 2 : 0);  // two may fall into one pair
      EXPECT_LE(outliers, planted ? 4 : 0);
    }
  }
}

TEST(KvProfileTest, ValuesHaveTokenScales) {
  const KvCache cache = MakeKv(Small(KvProfile::kKeysA));
  const std::vector<float> values = RowsOfHead(cache, StreamKind::kValue, 0, 0);
  double mean = 0, square = 0;
  for (uint32_t token = 0; token < 256; ++token) {
    double energy = 0;
    for (uint32_t i = 0; i < 128; ++i) energy += std::pow(values[token * 128 + i], 2);
    const double log_scale = 0.5 * std::log(energy / 128);
    mean += log_scale / 256;
    square += log_scale * log_scale / 256;
  }
  EXPECT_NEAR(mean, 0, 0.08);
  EXPECT_NEAR(std::sqrt(square - mean * mean), 0.3, 0.06);
}

TEST(KvProfileTest, IsTheSameForTheSameSeed) {
  KvProfileOptions options = Small(KvProfile::kKeysB);
  const KvCache cache = MakeKv(options);
  EXPECT_EQ(MakeKv(options), cache);
  options.seed = 4;
  EXPECT_NE(MakeKv(options).keys, cache.keys);
  EXPECT_EQ(MakeNeedleQueries(cache, 8, 1), MakeNeedleQueries(cache, 8, 1));
}

TEST(KvProfileTest, NeedleQueriesHaveOneTokenNearLogitEight) {
  for (const KvProfile profile : {KvProfile::kGaussian, KvProfile::kKeysA, KvProfile::kKeysB}) {
    const KvCache cache = MakeKv(Small(profile));
    const auto queries = MakeNeedleQueries(cache, 64, 1);
    ASSERT_EQ(queries.size(), 4u);
    double tops = 0;
    for (uint32_t head = 0; head < 4; ++head) {
      const std::vector<float> keys = RowsOfHead(cache, StreamKind::kKey, 0, head);
      const Moments moments = MomentsOf(keys, 128);
      ASSERT_EQ(queries[head].size(), 64u * 128);
      for (uint32_t query = 0; query < 64; ++query) {
        double top = -100;
        for (uint32_t token = 0; token < 256; ++token) {
          double logit = 0;
          for (uint32_t i = 0; i < 128; ++i) {
            logit += queries[head][query * 128 + i] * (keys[token * 128 + i] - moments.mean[i]) /
                     std::sqrt(128.0);
          }
          top = std::max(top, logit);
        }
        tops += top / (4 * 64);
      }
    }
    EXPECT_NEAR(tops, 8, 1) << static_cast<int>(profile);
  }
}

TEST(KvProfileTest, KnowsItsNames) {
  EXPECT_EQ(ParseKvProfile("gaussian"), KvProfile::kGaussian);
  EXPECT_EQ(ParseKvProfile("keys-a"), KvProfile::kKeysA);
  EXPECT_EQ(ParseKvProfile("keys-b"), KvProfile::kKeysB);
  EXPECT_EQ(ParseKvProfile("keys-c"), std::nullopt);
}

}  // namespace
}  // namespace larder::cli
