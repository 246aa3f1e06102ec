// Rows to codes of a Lloyd-Max codebook and back, one code per byte; scalar and SIMD forms give the
// same bits (vector_ops.h has the rules of the arithmetic).
//
// `dim` is a multiple of 16. Pointers need no alignment. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/lloyd_max.h"
#include "kernels/codec/turbo_scale.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

// Rows of values, one behind the other, and their codes, `stride` apart.
struct CodeRows {
  float* rows = nullptr;
  uint8_t* codes = nullptr;
  size_t count = 0;
  size_t dim = 0;
  size_t stride = 0;
};

struct CodebookOps {
  // Codes of y / rms, that is of y * (1 / rms), or of y * 0 when rms is 0; and coded[row]. Sums as
  // `dot`. When energy is not finite the codes mean nothing.
  // `book` is of kLloydMax.
  void (*encode)(const CodeRows& rows, const Codebook& book, CodedRow* coded);
  // Values of the codes times scales[row]. Codes are below 16.
  void (*decode)(const CodeRows& rows, const Codebook& book, const float* scales);
};

const CodebookOps& CodebookOpsOf(Isa isa);

}  // namespace larder
