// Frequencies of quantised Gaussian and Laplace values for the rANS coder, the same on every machine: decoders
// rebuild them, no tile stores them. Double arithmetic of portable_math.h in a fixed order. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/codec/rans.h"

namespace larder {

// Symbols 0 to 2 limit: the integer limit + k stands for values within half a step of k, the outermost ones for all
// beyond.
struct SymbolModel {
  std::vector<uint32_t> frequencies;  // 2 limit + 1, each at least 1, 4096 together
  std::vector<float> centroids;       // mean of the values of each symbol, in units of sigma
};

// Values of N(0, sigma^2), steps of 1. 1 <= limit <= 63, 0.05 <= sigma <= 64.
SymbolModel GaussianModel(double sigma, int limit);
// Density exp(-|x| / scale) / (2 scale) with scale = sigma / sqrt(2); `centroids` stays empty.
SymbolModel LaplaceModel(double sigma, int limit);

// Coding and decoding entries of tables with the same alphabet. Immutable after the last Add: thread-safe.
class RansTableSet {
 public:
  void Add(const std::vector<uint32_t>& frequencies);
  // Views that live as long as the set.
  RansTables View() const {
    return {slots_.data(), ranges_.data(), reciprocals_.data(), alphabet_, nullptr, 0};
  }

 private:
  uint32_t alphabet_ = 0;
  std::vector<uint32_t> slots_, ranges_, reciprocals_;
};

}  // namespace larder
