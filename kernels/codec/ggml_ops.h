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
#include "kernels/codec/vector_ops.h"

namespace larder {

// Values of CodecParams::variant; never reused.
enum class GgmlFormat : uint8_t {
  kQ8_0 = 0,
  kQ4_0 = 1,
  kQ4_1 = 2,
  kQ5_0 = 3,
  kQ5_1 = 4,
  kIq4Nl = 5,
};
inline constexpr size_t kGgmlFormats = 6;

// Where the parts of a format's block stand, in bytes.
struct GgmlBlock {
  unsigned bits;     // per code
  size_t bytes;      // of a block
  bool has_minimum;  // fp16 behind the scale
  size_t codes;      // offset of the codes; the plane of fifth bits stands just before them
};

inline constexpr GgmlBlock kGgmlBlocks[kGgmlFormats] = {
    {8, 34, false, 2}, {4, 18, false, 2}, {4, 20, true, 4},
    {5, 22, false, 6}, {5, 24, true, 8},  {4, 18, false, 2},
};

constexpr const GgmlBlock& BlockOf(GgmlFormat format) {
  return kGgmlBlocks[static_cast<size_t>(format)];
}

inline constexpr size_t kGgmlGroup = 32;
inline constexpr size_t kGgmlBatch = 16;
inline constexpr float kGgmlScaleMin = 0x1p-120f;  // below it 1 / scale may overflow

// What a format divides the range or the value of largest magnitude by.
constexpr float ScaleDivisor(GgmlFormat format) {
  constexpr float kDivisors[kGgmlFormats] = {127, -8, 15, -16, 31, -127};
  return kDivisors[static_cast<size_t>(format)];
}

// iq4_nl: what the codes mean, and the least value 2 x' + 512 of each code from 1 on, x' = x / scale.
inline constexpr int8_t kIq4NlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};
inline constexpr int16_t kIq4NlSteps[15] = {281, 325, 364, 398, 428, 455, 480, 503,
                                            526, 550, 575, 603, 634, 670, 714};

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
