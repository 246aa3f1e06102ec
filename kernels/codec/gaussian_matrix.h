// Seeded matrices of independent N(0, 1) values, for sign sketches.
//
// Value k (row-major) of the matrix (seed, rows, columns): with s = SeededWord(seed, 2^32) and the words
// w0 = SeededWord(s, 2j), w1 = SeededWord(s, 2j + 1), j = k / 2, Box and Muller's transform of
// u0 = ((w0 >> 11) + 1/2) 2^-53 and u1 the same of w1: sqrt(-2 log u0) times cos(2 pi u1) for even k,
// sin for odd, in double by portable_math.h, then rounded to fp32. Equal bits on every machine.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace larder {

inline constexpr uint32_t kGaussianMatrixSideMax = 1024;

// Immutable after construction: thread-safe. rows x columns is even.
class GaussianMatrix {
 public:
  GaussianMatrix(uint64_t seed, uint32_t rows, uint32_t columns);

  const float* values() const { return values_.data(); }          // [row][column]
  const float* transposed() const { return transposed_.data(); }  // [column][row]

 private:
  std::vector<float> values_;
  std::vector<float> transposed_;
};

// The same, built once: the 16 matrices used last are kept, so that hostile seeds cost time, never
// memory. Shared because one may be dropped here while a tile is being coded with it. Sides are at
// most kGaussianMatrixSideMax. About 0.1 us per value when it has to be built. Thread-safe.
std::shared_ptr<const GaussianMatrix> FindGaussianMatrix(uint64_t seed, uint32_t rows,
                                                         uint32_t columns);

}  // namespace larder
