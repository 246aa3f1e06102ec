// A seeded rotation of rows of `dim` values, and back: y with |y|^2 = dim |x|^2, so that for Gaussian-like
// rows y / |x| has unit variance.
//
// kHadamard: signs from SplitMix64 of the seed, a power-of-two Hadamard transform H_B on each part of dim's
// binary decomposition, largest first (96 = 64 + 32), scaled to keep every coordinate's variance equal:
// y = sqrt(dim / B) H_B (signs x). When dim is not a power of two the channels are permuted first, seeded as
// well, so that parts share their energy.
// kHaar: y = sqrt(dim) Q x with haar_matrix.h's Q; dim is at most kHaarSideMax. dim operations per value.
//
// Exact arithmetic of vector_ops.h: equal bits for every Isa. Thread-compatible; keeps its tables, so that
// preparing the same rotation again is free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/codec/haar_matrix.h"
#include "kernels/codec/seeded_word.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

enum class RotationKind : uint8_t { kHadamard, kHaar };

class RowRotation {
 public:
  // `dim` is a multiple of 16. Before the first Rotate.
  void Prepare(RotationKind kind, uint64_t seed, uint32_t dim);

  // Rows one behind the other.
  void Rotate(Isa isa, float* rows, uint32_t count);
  void RotateBack(Isa isa, float* rows, uint32_t count);

 private:
  void Permute(float* row, bool back);
  void Multiply(Isa isa, const float* matrix, float* rows, uint32_t count);

  RotationKind kind_ = RotationKind::kHadamard;
  uint64_t seed_ = 0;
  uint32_t dim_ = 0;                          // 0: not prepared
  std::vector<float> factors_;                // 1 or -1 per channel
  std::vector<float> factors_back_;           // the same over the length that the rotation gives
  std::vector<uint32_t> permutation_;         // new channel -> old one; empty for powers of two
  std::shared_ptr<const HaarMatrix> matrix_;  // of kHaar; shared with other threads' rotations
  std::vector<float> scratch_;
};

}  // namespace larder
