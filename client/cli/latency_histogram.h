// Latencies in logarithmic buckets: 16 KiB whatever the number of samples, quantiles within 1/64
// (1.6 %) of the true sample. Thread-compatible: one per thread, merged at the end.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace larder::cli {

class LatencyHistogram {
 public:
  void Record(std::chrono::nanoseconds latency);
  void Merge(const LatencyHistogram& other);

  uint64_t count() const { return count_; }
  // Seconds below which the share `quantile` (0 to 1) of the samples lies; nullopt without samples.
  std::optional<double> Quantile(double quantile) const;

 private:
  // Values below 32 ns have a bucket each; above, every power of two is cut into 32.
  static constexpr size_t kSubBuckets = 32;
  static constexpr size_t kBuckets = kSubBuckets * 60;

  static size_t BucketOf(uint64_t nanoseconds);
  static double MiddleOf(size_t bucket);  // nanoseconds

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
};

}  // namespace larder::cli
