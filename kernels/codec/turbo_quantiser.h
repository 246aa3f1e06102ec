// Lloyd-Max codes of a rotated row, with one scale per row (TurboQuant, MSE stage).
//
// Shape   in [token, head_dim] fp32 as kTransformRotate leaves it: |y|^2 = D |x|^2, so y / |x| has unit
//         variance. Out: fp16 scale per token, zero to a multiple of 16; then each row's packed codes
//         (packing.h); at 3 bits a row is padded with zero codes to a multiple of 32.
// Size    AlignTile(2 T) + T ceil32(D) bits / 8 bytes: bits + 16/D per element (3.125 at 3 bits, D = 128).
// Scale   y' = s c, c the codes' values; codes are those of y / g with g = sqrt(|y|^2 / D) = |x|.
//         kTurboPlain    s = g                  least error; inner products shrink by 1 - distortion
//         kTurboNormed   s = sqrt(|y|^2 / |c|^2)  keeps |x|; inner products shrink by sqrt(1 - distortion)
//         kTurboUnbiased s = |y|^2 / <y, c>     <x, x'> = |x|^2: inner products are unbiased
//         A scale beyond fp16 (|x| about 65504) refuses the tile.
// Error   relative MSE of plain scales on Gaussian rows 0.361, 0.116, 0.0340, 0.0093 for 1 to 4 bits at
//         D = 128; any row's, by the seeded signs (TurboQuantiserTest). Unbiased ones d / (1 - d) of it.
// Source  TurboQuant (2025), MSE stage, with Hadamard and signs for the random rotation; the unbiased
//         scale is that of DRIVE (2021) and EDEN (2022).
// Oracle  codebook_ops_scalar.cc.
#pragma once

#include "kernels/codec/row_quantiser.h"
#include "kernels/codec/turbo_scale.h"

namespace larder {

class TurboQuantiser final : public RowQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
              std::byte* out) const override;
  void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count, const std::byte* in,
              float* rows) const override;
};

}  // namespace larder
