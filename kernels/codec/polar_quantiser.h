// A rotated row in blocks of 16, each as one radius and 15 angles (PolarQuant of Han et al.).
//
// Shape   in [token, head_dim] fp32 as kTransformRotate leaves it. Level 1 takes neighbours (2i, 2i + 1)
//         as pairs, level 2 neighbouring radii of level 1, up to one radius at level 4. Out: the radii,
//         fp16, T D / 16 of them, zero to a multiple of 16; then for each level its angle codes,
//         T D / 2^level of them in the order of the rows, with zero codes up to a multiple of 32, packed.
// Size    `bits` of level 1, `bits` / 2 of the others: 4 2 2 2, 3 2 2 2 or 5 3 3 3. Per element
//         (8 b1 + 7 b2 + 16) / 16 = 3.875, 3.375 or 4.8125 bits, rounding up of the parts apart.
// Coding  polar_ops.h: bins of equal width at level 1, with signs; Lloyd-Max bins of the angles of
//         Gaussian rows above it. Decoding multiplies down the tree by cosines and sines of a table.
//         A radius beyond fp16 (|x| about 16376) refuses the tile.
// Error   relative MSE 0.0321, 0.0696, 0.00854 on Gaussian rows; 0.08 for `bits` 4 at the worst, when all
//         rotated magnitudes are equal (PolarQuantiserTest). About 0.7 bits behind turbo.
// Source  PolarQuant, arXiv 2502.02617, with Hadamard and signs for the preconditioner and fixed codebooks.
// Oracle  polar_ops_scalar.cc.
#pragma once

#include "kernels/codec/polar_book.h"
#include "kernels/codec/row_quantiser.h"

namespace larder {

// The book of level `level`, from 0, below kPolarLevels.
const AngleBook& PolarBookOf(const CodecParams& params, unsigned level);

class PolarQuantiser final : public RowQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  // A multiple of 32 rows has a multiple of 64 angles at every level, whole words of any width.
  uint32_t RowsTogether(const CodecParams&, TileShape) const override { return 32; }
  bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
              std::byte* out) const override;
  void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count, const std::byte* in,
              float* rows) const override;
};

}  // namespace larder
