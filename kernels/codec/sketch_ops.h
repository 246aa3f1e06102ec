// Products of rows with a matrix and their signs, for sign sketches; scalar and SIMD forms give the
// same bits (vector_ops.h has the rules of the arithmetic).
//
// Sizes are multiples of 16. Pointers need no alignment. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/vector_ops.h"

namespace larder {

struct MatrixProduct {
  const float* matrix = nullptr;  // [inner][outer]
  size_t inner = 0;
  size_t outer = 0;
  const float* weights = nullptr;  // [row][inner]
  float* out = nullptr;            // [row][outer]
  size_t rows = 0;
};

struct SketchOps {
  // out[r][c] = sum over i of weights[r][i] matrix[i][c], in the tree order of VectorOps::dot.
  void (*multiply)(const MatrixProduct& product);
  // One bit per value, little-endian within bytes: 1 where the sign bit is not set.
  void (*signs)(const float* values, uint8_t* bits, size_t count);
  // 1 or -1 per bit.
  void (*unsigns)(const uint8_t* bits, float* values, size_t count);
};

const SketchOps& SketchOpsOf(Isa isa);

}  // namespace larder
