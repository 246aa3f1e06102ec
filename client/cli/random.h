// SplitMix64 and the few distributions the generators need. Our own, because the standard library's
// distributions differ between implementations and the same seed must give the same trace and the
// same bytes everywhere. Thread-compatible.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace larder::cli {

// Bijective finaliser of SplitMix64 (Steele, Lea, Flood 2014).
constexpr uint64_t Mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return Mix64(state_ += 0x9E3779B97F4A7C15u); }
  // [0, 1)
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  // [0, bound); bound > 0
  uint64_t Below(uint64_t bound) { return static_cast<uint64_t>(Uniform() * bound); }
  double Exponential(double mean) { return -mean * std::log1p(-Uniform()); }
  double Normal() {
    const double radius = std::sqrt(Exponential(2));
    return radius * std::cos(2 * std::numbers::pi * Uniform());
  }
  double LogNormal(double median, double sigma) { return median * std::exp(sigma * Normal()); }

 private:
  uint64_t state_;
};

}  // namespace larder::cli
