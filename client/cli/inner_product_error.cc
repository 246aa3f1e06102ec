#include "client/cli/inner_product_error.h"

#include <cmath>
#include <cstddef>
#include <vector>

namespace larder::cli {
namespace {

constexpr double kCosine = 0.5;

double Dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void InnerProductError::Add(std::span<const float> rows, std::span<const float> decoded,
                            uint32_t dim) {
  dim_ = dim;
  std::vector<double> x(dim), found(dim), y(dim);
  for (size_t at = 0; at < rows.size(); at += dim) {
    for (uint32_t i = 0; i < dim; ++i) {
      x[i] = rows[at + i];
      found[i] = decoded[at + i];
      y[i] = random_.Normal();
    }
    const double energy = Dot(x, x);
    if (energy == 0) continue;
    // y without its part along x, at the length that makes the cosine with x.
    const double along = Dot(y, x) / energy;
    for (uint32_t i = 0; i < dim; ++i) y[i] -= along * x[i];
    const double across = std::sqrt((1 - kCosine * kCosine) * energy / Dot(y, y));
    for (uint32_t i = 0; i < dim; ++i) y[i] = across * y[i] + kCosine * x[i];
    const double product = Dot(y, found) / energy;
    count_ += 1;
    sum_ += product;
    squares_ += product * product;
  }
}

double InnerProductError::Slope() const { return count_ > 0 ? sum_ / count_ / kCosine : 1; }

double InnerProductError::Variance() const {
  if (count_ == 0) return 0;
  const double mean = sum_ / count_;
  return (squares_ / count_ - mean * mean) * dim_;
}

}  // namespace larder::cli
