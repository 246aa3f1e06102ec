#include "client/cli/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace larder::cli {

size_t LatencyHistogram::BucketOf(uint64_t nanoseconds) {
  if (nanoseconds < kSubBuckets) return nanoseconds;
  const size_t shift = std::bit_width(nanoseconds) - 6;  // leaves 32..63
  return std::min(kBuckets - 1, shift * kSubBuckets + (nanoseconds >> shift));
}

double LatencyHistogram::MiddleOf(size_t bucket) {
  if (bucket < 2 * kSubBuckets) return static_cast<double>(bucket);
  const size_t shift = bucket / kSubBuckets - 1;
  const uint64_t low = (kSubBuckets + bucket % kSubBuckets) << shift;
  return static_cast<double>(low) + static_cast<double>(uint64_t{1} << shift) / 2;
}

void LatencyHistogram::Record(std::chrono::nanoseconds latency) {
  ++buckets_[BucketOf(static_cast<uint64_t>(std::max<int64_t>(0, latency.count())))];
  ++count_;
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
}

std::optional<double> LatencyHistogram::Quantile(double quantile) const {
  if (count_ == 0) return std::nullopt;
  const auto rank = static_cast<uint64_t>(std::clamp(
      std::ceil(quantile * static_cast<double>(count_)), 1.0, static_cast<double>(count_)));
  uint64_t seen = 0;
  size_t bucket = 0;
  while (bucket + 1 < kBuckets && (seen += buckets_[bucket]) < rank) ++bucket;
  return MiddleOf(bucket) * 1e-9;
}

}  // namespace larder::cli
