#include "kernels/codec/haar_matrix.h"

#include <cmath>
#include <utility>

#include "kernels/codec/gaussian_matrix.h"
#include "kernels/codec/kept_by_key.h"

namespace larder {
namespace {

constexpr size_t kMatricesKept = 16;

double Product(const double* left, const double* right, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += left[i] * right[i];
  return sum;
}

}  // namespace

HaarMatrix::HaarMatrix(uint64_t seed, uint32_t side)
    : forward_(size_t{side} * side), back_(forward_.size()) {
  const GaussianMatrix gaussian(seed, side, side);
  std::vector<double> rows(gaussian.values(), gaussian.values() + forward_.size());
  for (size_t row = 0; row < side; ++row) {
    double* q = &rows[row * side];
    for (int pass = 0; pass < 2; ++pass) {  // once leaves the error of the subtractions
      for (size_t before = 0; before < row; ++before) {
        const double* p = &rows[before * side];
        const double share = Product(q, p, side);
        for (size_t i = 0; i < side; ++i) q[i] -= share * p[i];
      }
    }
    const double length = std::sqrt(Product(q, q, side));
    for (size_t i = 0; i < side; ++i) q[i] /= length;
  }
  const double scale = std::sqrt(static_cast<double>(side));
  for (size_t row = 0; row < side; ++row) {
    for (size_t column = 0; column < side; ++column) {
      const double value = rows[row * side + column];
      forward_[column * side + row] = static_cast<float>(value * scale);
      back_[row * side + column] = static_cast<float>(value / scale);
    }
  }
}

std::shared_ptr<const HaarMatrix> FindHaarMatrix(uint64_t seed, uint32_t side) {
  static KeptByKey<std::pair<uint64_t, uint32_t>, HaarMatrix> kept(kMatricesKept);
  return kept.Find({seed, side}, [&] { return std::make_shared<const HaarMatrix>(seed, side); });
}

}  // namespace larder
