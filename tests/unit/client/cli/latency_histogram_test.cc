#include "client/cli/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "client/cli/random.h"

namespace larder::cli {
namespace {

using std::chrono::nanoseconds;

TEST(LatencyHistogramTest, IsEmptyAtFirst) {
  EXPECT_EQ(LatencyHistogram().Quantile(0.5), std::nullopt);
}

TEST(LatencyHistogramTest, QuantilesAreWithinTheStatedErrorOfTheSortedSamples) {
  Random random(11);
  LatencyHistogram even;
  LatencyHistogram odd;
  std::vector<double> samples;
  for (int i = 0; i < 20'000; ++i) {
    const auto sample = static_cast<int64_t>(random.LogNormal(1e5, 3));
    (i % 2 == 0 ? even : odd).Record(nanoseconds(sample));
    samples.push_back(static_cast<double>(sample) * 1e-9);
  }
  even.Merge(odd);
  EXPECT_EQ(even.count(), samples.size());
  std::sort(samples.begin(), samples.end());
  for (const double quantile : {0.001, 0.5, 0.95, 0.99, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(quantile * 20'000)) - 1;
    EXPECT_NEAR(*even.Quantile(quantile), samples[rank], samples[rank] / 64 + 1e-9) << quantile;
  }
}

TEST(LatencyHistogramTest, TakesEveryDuration) {
  LatencyHistogram histogram;
  histogram.Record(nanoseconds(-5));
  histogram.Record(nanoseconds(0));
  histogram.Record(nanoseconds::max());
  EXPECT_EQ(*histogram.Quantile(0.5), 0);
  EXPECT_GT(*histogram.Quantile(1), 9e9);
}

}  // namespace
}  // namespace larder::cli
