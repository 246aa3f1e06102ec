#include "kernels/codec/symbol_models.h"

#include <cmath>

#include "kernels/codec/portable_math.h"

namespace larder {
namespace {

constexpr double kInverseRootTwoPi = 0.3989422804014327;
constexpr double kTail = 12.0;  // sigmas beyond which no double sees anything

double Density(double x) { return x > 37.0 ? 0.0 : kInverseRootTwoPi * PortableExp(-0.5 * x * x); }

// Integral of the density from a to b, 0 <= a <= b, by Simpson's rule.
double Mass(double a, double b) {
  const int halves = 2 * (8 + static_cast<int>((b - a) * 16));
  const double width = (b - a) / halves;
  double sum = Density(a) + Density(b);
  for (int i = 1; i < halves; ++i) sum += Density(a + width * i) * (i % 2 == 1 ? 4.0 : 2.0);
  return sum * width / 3.0;
}

// Masses of the symbols 0, 1, ..., limit of one side to frequencies of both.
std::vector<uint32_t> FrequenciesOf(const std::vector<double>& masses) {
  const size_t limit = masses.size() - 1;
  std::vector<uint64_t> counts(2 * limit + 1);
  for (size_t k = 0; k <= limit; ++k) {
    const auto count = static_cast<uint64_t>(masses[k] * 0x1p40) + 1;
    counts[limit + k] = count;
    counts[limit - k] = count;
  }
  std::vector<uint32_t> frequencies(counts.size());
  NormaliseFrequencies(counts, frequencies.data());
  return frequencies;
}

}  // namespace

SymbolModel GaussianModel(double sigma, int limit) {
  SymbolModel model;
  model.centroids.resize(2 * static_cast<size_t>(limit) + 1);
  std::vector<double> masses;
  for (int k = 0; k <= limit; ++k) {
    const double low = k == 0 ? 0.0 : (k - 0.5) / sigma;
    const double inner = (k + 0.5) / sigma;
    const double high = k == limit ? low + kTail : inner;
    const double mass = Mass(low, high);
    masses.push_back(k == 0 ? 2.0 * mass : mass);
    // Where no double sees any mass the step itself serves; no such value occurs.
    const double mean = k == 0         ? 0.0
                        : mass < 1e-30 ? k / sigma
                                       : (Density(low) - Density(high)) / mass;
    model.centroids[static_cast<size_t>(limit + k)] = static_cast<float>(mean);
    model.centroids[static_cast<size_t>(limit - k)] = static_cast<float>(-mean);
  }
  model.frequencies = FrequenciesOf(masses);
  return model;
}

SymbolModel LaplaceModel(double sigma, int limit) {
  const double rate = std::sqrt(2.0) / sigma;
  // Half of what lies beyond x >= 0.
  const auto beyond = [&](double x) { return x * rate > 600 ? 0.0 : 0.5 * PortableExp(-x * rate); };
  std::vector<double> masses = {1.0 - 2.0 * beyond(0.5)};
  for (int k = 1; k <= limit; ++k) {
    masses.push_back(beyond(k - 0.5) - (k == limit ? 0.0 : beyond(k + 0.5)));
  }
  return {FrequenciesOf(masses), {}};
}

void RansTableSet::Add(const std::vector<uint32_t>& frequencies) {
  alphabet_ = static_cast<uint32_t>(frequencies.size());
  const size_t slot = slots_.size(), range = ranges_.size();
  slots_.resize(slot + kRansScale);
  ranges_.resize(range + alphabet_);
  reciprocals_.resize(range + alphabet_);
  FillRansSlots(frequencies, 0, slots_.data() + slot);
  FillRansRanges(frequencies, ranges_.data() + range, reciprocals_.data() + range);
}

}  // namespace larder
