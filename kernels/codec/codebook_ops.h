// Rows to codes of a Lloyd-Max codebook and back, one code per byte; scalar and SIMD forms give the
// same bits (vector_ops.h has the rules of the arithmetic).
//
// `dim` is a multiple of 16. Pointers need no alignment. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/lloyd_max.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

struct CodedRow {
  float energy;   // |y|^2
  float rms;      // sqrt(energy / dim)
  float product;  // <y, c>, c the codebook's values of y's codes
};

struct CodebookOps {
  // Codes of y / rms, that is of y * (1 / rms), or of y * 0 when rms is 0. Sums as `dot`. When energy
  // is not finite the codes mean nothing.
  CodedRow (*encode)(const float* row, size_t dim, const Codebook& book, uint8_t* codes);
  // row[i] = value of codes[i] * scale. Codes are below 16.
  void (*decode)(const uint8_t* codes, size_t dim, const Codebook& book, float scale, float* row);
};

const CodebookOps& CodebookOpsOf(Isa isa);

}  // namespace larder
