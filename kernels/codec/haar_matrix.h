// Seeded random rotations: the orthogonal factor of a Gaussian matrix, which makes every direction as
// likely as any other (Haar's measure).
//
// Q of (seed, D): the rows of GaussianMatrix(seed, D, D), in double, one after the other: the rows before
// it are taken out, twice (q -= <q, p> p in the order of the rows, sums in the order of the columns), then
// the row is divided by its length. That is the QR decomposition with a positive diagonal of R. Only
// +, -, x, / and sqrt in double: equal bits on every machine.
// Source: Mezzadri, How to generate random matrices from the classical compact groups (2007).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace larder {

inline constexpr uint32_t kHaarSideMax = 256;  // 60 ms to build

// Immutable after construction: thread-safe.
class HaarMatrix {
 public:
  HaarMatrix(uint64_t seed, uint32_t side);

  // [column][row] of sqrt(side) Q, as fp32: y = sqrt(side) Q x in the form of SketchOps::multiply.
  const float* forward() const { return forward_.data(); }
  // [row][column] of Q / sqrt(side): turns y back.
  const float* back() const { return back_.data(); }

 private:
  std::vector<float> forward_;
  std::vector<float> back_;
};

// The same, built once; the 16 matrices used last are kept. A side is at most kHaarSideMax. Thread-safe.
std::shared_ptr<const HaarMatrix> FindHaarMatrix(uint64_t seed, uint32_t side);

}  // namespace larder
