// The kernels of ggml's block formats, in two forms that give the same bytes: plain C++ (the oracle)
// and Highway SIMD with run-time dispatch.
//
// A group is 32 values, one behind the other, at rows[i] of group i. At most kGgmlBatch groups in a call;
// ranges takes all kGgmlBatch. Arrays of floats have kGgmlBatch places. Blocks are ggml_quantiser.h's; they need no alignment.
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/element_rows.h"
#include "kernels/codec/ggml_codes.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

inline constexpr size_t kGgmlBatch = 16;

struct GgmlOps {
  // What scales() needs of each group. Formats with a minimum: its least and greatest value; q8_0: 0
  // and its greatest magnitude; the others: its least value or 0, and its greatest value or 0. Zeros
  // are positive. False when a value is not finite.
  bool (*ranges)(GgmlFormat format, const SourceElements& source, float* lows, float* highs);
  // Scales from ranges, in fp32. True when, in a format whose scale has the sign of the value of
  // largest magnitude, some group has both signs of it: the scale is then the positive one's.
  bool (*scales)(GgmlFormat format, const float* lows, const float* highs, float* scales);
  // The scales as fp16 and 1 / scale, or 0 below kGgmlScaleMin. False when one is beyond fp16.
  bool (*store_scales)(const float* scales, uint16_t* stored, float* inverses);
  // iq4_nl: with y = x * inverses[i] and q the value of y's code, in fp32 and the tree order of
  // VectorOps::dot: factors[i] = sum((y y q) y) / sum((y y q) q).
  void (*fit_iq4_nl)(const SourceElements& source, size_t groups, const float* inverses,
                     float* factors);
  // Writes the codes of each block; its scale and minimum are left alone.
  void (*quantise)(GgmlFormat format, const SourceElements& source, size_t groups,
                   const float* inverses, const float* lows, uint8_t* blocks);
  // Reads scales, minima and codes.
  void (*dequantise)(GgmlFormat format, const uint8_t* blocks, size_t groups,
                     const TargetElements& target);
};

const GgmlOps& GgmlOpsOf(Isa isa);

}  // namespace larder
