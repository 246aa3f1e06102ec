// FP8 codes of rows of fp32, bf16 or fp16 values and back, in two forms that give the same bits.
//
// Counts are multiples of 16; values are finite. Pointers need no alignment. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/element_rows.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

enum class Fp8Format : uint8_t { kE4M3 = 0, kE5M2 = 1 };

struct Fp8Ops {
  // out[i] = fp8(row[i] * factor), half to even, saturating.
  void (*encode)(Fp8Format format, ElementType type, const void* row, float factor, uint8_t* out,
                 size_t count);
  // row[i] = value(codes[i]) * scale.
  void (*decode)(Fp8Format format, ElementType type, const uint8_t* codes, float scale, void* row,
                 size_t count);
};

const Fp8Ops& Fp8OpsOf(Isa isa);

}  // namespace larder
