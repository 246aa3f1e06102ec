#include "kernels/codec/gaussian_matrix.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <mutex>

#include "kernels/codec/portable_math.h"
#include "kernels/codec/tile_transform.h"

namespace larder {
namespace {

constexpr size_t kMatricesKept = 16;
constexpr double kTwoPi = 6.283185307179586;

double UnitOf(uint64_t word) { return (static_cast<double>(word >> 11) + 0.5) * 0x1p-53; }

struct Kept {
  uint64_t seed;
  uint32_t rows;
  uint32_t columns;
  std::shared_ptr<const GaussianMatrix> matrix;

  bool Is(uint64_t its_seed, uint32_t its_rows, uint32_t its_columns) const {
    return seed == its_seed && rows == its_rows && columns == its_columns;
  }
};

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
  static std::mutex mutex;
  static std::list<Kept> kept;  // the one used last in front
  const auto take = [&]() -> std::shared_ptr<const GaussianMatrix> {
    const auto found = std::find_if(
        kept.begin(), kept.end(), [&](const Kept& entry) { return entry.Is(seed, rows, columns); });
    if (found == kept.end()) return nullptr;
    kept.splice(kept.begin(), kept, found);
    return found->matrix;
  };
  {
    const std::lock_guard lock(mutex);
    if (auto matrix = take()) return matrix;
  }
  auto built = std::make_shared<const GaussianMatrix>(seed, rows, columns);  // not under the lock
  const std::lock_guard lock(mutex);
  if (auto matrix = take()) return matrix;  // another thread was faster
  kept.push_front({seed, rows, columns, built});
  if (kept.size() > kMatricesKept) kept.pop_back();
  return built;
}

}  // namespace larder
