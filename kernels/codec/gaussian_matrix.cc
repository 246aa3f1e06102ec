#include "kernels/codec/gaussian_matrix.h"

#include <cmath>
#include <tuple>

#include "kernels/codec/kept_by_key.h"
#include "kernels/codec/portable_math.h"
#include "kernels/codec/seeded_word.h"

namespace larder {
namespace {

constexpr size_t kMatricesKept = 16;
constexpr double kTwoPi = 6.283185307179586;

double UnitOf(uint64_t word) { return (static_cast<double>(word >> 11) + 0.5) * 0x1p-53; }

}  // namespace

GaussianMatrix::GaussianMatrix(uint64_t seed, uint32_t rows, uint32_t columns)
    : values_(size_t{rows} * columns), transposed_(values_.size()) {
  const uint64_t stream = SeededWord(seed, uint64_t{1} << 32);
  for (size_t k = 0; k + 1 < values_.size(); k += 2) {
    const double length = std::sqrt(-2.0 * PortableLog(UnitOf(SeededWord(stream, k))));
    const SineCosine turn = PortableSineCosine(kTwoPi * UnitOf(SeededWord(stream, k + 1)));
    values_[k] = static_cast<float>(length * turn.cosine);
    values_[k + 1] = static_cast<float>(length * turn.sine);
  }
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      transposed_[column * rows + row] = values_[row * columns + column];
    }
  }
}

std::shared_ptr<const GaussianMatrix> FindGaussianMatrix(uint64_t seed, uint32_t rows,
                                                         uint32_t columns) {
  static KeptByKey<std::tuple<uint64_t, uint32_t, uint32_t>, GaussianMatrix> kept(kMatricesKept);
  return kept.Find({seed, rows, columns},
                   [&] { return std::make_shared<const GaussianMatrix>(seed, rows, columns); });
}

}  // namespace larder
