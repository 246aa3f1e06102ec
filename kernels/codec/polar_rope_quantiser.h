// Pairs of a key's channels as radius and angle, 4 bits each (PolarQuant of Wu et al.). For keys as
// attention sees them: RoPE turns the pairs (j, j + D/2), which leaves their radii alone, so radii vary
// little along tokens, and a pair of outlier channels becomes a narrow range of radii and angles.
//
// Shape   in [token, head_dim] fp32. Groups of 128 tokens, the last one shorter. Out, per group and pair:
//         least radius, radius step, least angle, angle step, fp16, as four runs of D/2; all groups, zero to
//         a multiple of 16; then one byte per token and pair, radius code * 16 + angle code, [token][pair].
// Size    AlignTile(ceil(T / 128) 4 D) + T D / 2 bytes: 4.25 bits per element when T is a multiple of 128.
// Coding  least and (largest - least) / 16 as stored in fp16; codes by rounding down, decoded to the middle
//         of their bins; pair_ops.h has the arithmetic, in which angles are polynomials, not a library's.
//         A radius beyond fp16 refuses the tile.
// Error   within one bin of the radius and of the angle: |x' - x| at most 0.75 of a radius step and half an
//         angle step times the radius, rounding of the scales apart. Relative MSE of Gaussian rows 0.0143
//         (PolarRopeQuantiserTest).
// Source  PolarQuant, arXiv 2502.00527 (r4 t4); changed: a pair whose angles lie around 0 counts them from
//         half a turn to one and a half when that is the narrower range. It speaks of keys only: the
//         values of its format are turbo4.
// Oracle  pair_ops_scalar.cc.
#pragma once

#include "kernels/codec/row_quantiser.h"

namespace larder {

inline constexpr uint16_t kPolarRopeGroup = 128;  // tokens; CodecParams::group

class PolarRopeQuantiser final : public RowQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  uint32_t RowsTogether(const CodecParams&, TileShape) const override { return kPolarRopeGroup; }
  bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
              std::byte* out) const override;
  void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count, const std::byte* in,
              float* rows) const override;
};

}  // namespace larder
