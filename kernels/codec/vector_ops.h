// The vector arithmetic that codecs are made of, in two forms that give the same bits: plain C++ (the
// oracle) and Highway SIMD with run-time dispatch.
//
// Counts are multiples of 16. Pointers need no alignment; ranges of one call do not overlap unless
// they are the same. fp32 arithmetic is +, -, x, / and sqrt, each rounded once (no FMA): sums run in
// the fixed order stated, so every width of vector gives the same result. All inputs are finite; a
// result may overflow to infinity, which the caller checks where it can happen. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder {

enum class Isa : uint8_t { kScalar = 0, kSimd = 1 };

// Cosines and sines of one position.
struct RopeRow {
  const float* cosines;
  const float* sines;
};

struct VectorOps {
  // Largest of bits & 0x7FFF: the largest magnitude, and whether all are finite, without arithmetic.
  uint32_t (*max_magnitude_bits16)(const uint16_t* values, size_t count);
  void (*widen_bf16)(const uint16_t* values, float* out, size_t count);
  void (*narrow_bf16)(const float* values, uint16_t* out, size_t count);  // half to even
  void (*widen_fp16)(const uint16_t* values, float* out, size_t count);
  void (*narrow_fp16)(const float* values, uint16_t* out,
                      size_t count);  // half to even, at most 65504

  float (*max_magnitude)(const float* values, size_t count);
  // Sum of the products in the tree order: lane l of 32 adds the products at l, l + 32, ... in turn;
  // then lanes l and l ^ 16, l ^ 8, l ^ 4, l ^ 2, l ^ 1 are added.
  float (*dot)(const float* left, const float* right, size_t count);

  void (*scale)(float* values, size_t count, float factor);
  // rows[r][c] += sign * columns[c]; sign is 1 or -1. Each row has `width` values.
  void (*add_columns)(float* rows, size_t row_count, size_t width, const float* columns,
                      float sign);
  // sums[c] += rows[0][c], then rows[1][c], ...
  void (*sum_columns)(const float* rows, size_t row_count, size_t width, float* sums);

  // (x, y) becomes (x cosine - y sine, x sine + y cosine) for the pairs (j, j + pairs), or (2j, 2j + 1)
  // when interleaved. `pairs` is a multiple of 8.
  void (*turn_pairs)(float* row, const float* cosines, const float* sines, size_t pairs,
                     bool interleaved);
  // turn_pairs of a row of 2 `pairs` bf16 values in halves, as it is loaded and as it is stored (half to
  // even). The mean, unless null, is added before the turn.
  void (*widen_turn_bf16)(const uint16_t* row, const RopeRow& rope, size_t pairs, float* out);
  void (*turn_narrow_bf16)(const float* row, const float* mean, const RopeRow& rope, size_t pairs,
                           uint16_t* out);
  // Walsh-Hadamard transform in place, unnormalised, in the order h = 1, 2, 4, ...; `count` is a
  // power of two from 16.
  void (*hadamard)(float* values, size_t count);
};

const VectorOps& VectorOpsOf(Isa isa);

}  // namespace larder
