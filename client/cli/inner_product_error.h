// How a codec bends and blurs inner products, which is what attention makes of keys.
//
// Each row x meets one random row y with |y| = |x| and cosine 1/2. Over all rows, of <y, x'> / (|x| |y|):
//   slope      its mean over 1/2: 1 for an unbiased codec, below for one that shrinks
//   variance   around its mean, times the row's channels
// Rows of zeros count nothing. y is drawn from the seed. Thread-compatible. Deterministic.   Cost  about 40 ns per element.
#pragma once

#include <cstdint>
#include <span>

#include "client/cli/random.h"

namespace larder::cli {

class InnerProductError {
 public:
  explicit InnerProductError(uint64_t seed) : random_(seed) {}

  // [row][dim], of equal sizes.
  void Add(std::span<const float> rows, std::span<const float> decoded, uint32_t dim);

  // 1 and 0 where nothing was added.
  double Slope() const;
  double Variance() const;

 private:
  Random random_;
  double count_ = 0, sum_ = 0, squares_ = 0;
  uint32_t dim_ = 0;
};

}  // namespace larder::cli
