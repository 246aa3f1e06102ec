// The Hadamard rotation of rows, with a factor per channel before or after it; scalar and SIMD forms
// give the same bits (vector_ops.h has the rules of the arithmetic).
//
// A row's part is `part` values, a power of two from 16; rows stand `stride` values apart. Butterflies
// (x + y, x - y) run over the distances 1, 2, 4, ..., part / 2, unnormalised. Thread-safe.
#pragma once

#include <cstddef>

#include "kernels/codec/vector_ops.h"

namespace larder {

// The same part of consecutive rows.
struct RowParts {
  float* first = nullptr;
  size_t count = 0;
  size_t stride = 0;
  size_t part = 0;
};

struct RotationOps {
  // Each part times factors[0, part), then the butterflies.
  void (*rotate)(const RowParts& rows, const float* factors);
  // The butterflies, then times the factors.
  void (*rotate_back)(const RowParts& rows, const float* factors);
};

const RotationOps& RotationOpsOf(Isa isa);

}  // namespace larder
