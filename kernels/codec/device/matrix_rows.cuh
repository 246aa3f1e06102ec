// Rows times a dense matrix on a CTA: device twin of SketchOps::multiply, whose scalar form is the oracle; and the dense rotation
// of a portion (row_rotation.cc).
//
// Cost: D operations an element; the matrix, up to 2.4 MB, stays in the L2 cache.
#pragma once

#include "kernels/codec/device/tile_rows.cuh"

namespace larder {

// Sum of weight(i) x matrix[i][column] for i below `inner`, in the order of `dot`: lane i mod 32, then in a tree.
template <typename Weight>
LARDER_HOST_DEVICE float MatrixDot(const float* matrix, uint32_t inner, uint32_t outer,
                                   uint32_t column, Weight weight) {
  float lanes[32] = {};
  for (uint32_t begin = 0; begin < inner; begin += 32) {
    LARDER_UNROLL
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const uint32_t i = begin + lane;
      if (i < inner) lanes[lane] += weight(i) * matrix[uint64_t{i} * outer + column];
    }
  }
  LARDER_UNROLL
  for (uint32_t half = 16; half > 0; half /= 2) {
    LARDER_UNROLL
    for (uint32_t lane = 0; lane < 16; ++lane) {
      if (lane < half) lanes[lane] += lanes[lane + half];
    }
  }
  return lanes[0];
}

// staging.rows times `matrix`, D x D, by way of staging.spare. Synchronises before and after.
template <typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE void MultiplyPortion(Cta& cta, const Staging& staging,
                                                        const float* matrix, uint32_t dim,
                                                        uint32_t count) {
  cta.Sync();
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * dim; item += kCtaThreads) {
      const float* row = staging.Row(item / dim);
      staging.spare[item] =
          MatrixDot(matrix, dim, dim, item % dim, [&](uint32_t i) { return row[i]; });
    }
  });
  cta.Sync();
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * dim; item += kCtaThreads) {
      staging.Row(item / dim)[item % dim] = staging.spare[item];
    }
  });
  cta.Sync();
}

}  // namespace larder
