// TurboQuant's product form: Lloyd-Max codes of a rotated row with one bit less, and a 1-bit sketch of
// what they leave, which makes inner products unbiased. Kept for comparison: turbo's unbiased scale does
// the same with a fifth of the variance and half the scales.
//
// Shape   as turbo_quantiser.h. Out: fp16 norm per token; fp16 residual norm per token; zero to a
//         multiple of 16; each row's packed codes of bits - 1 (a multiple of 32 codes when that is 3); each
//         row's sketch, one bit per channel.
// Size    AlignTile(4 T) + T ceil32(D) (bits - 1) / 8 + T D / 8 bytes: bits + 32/D per element.
// Coding  g = fp16(|x|), codes c of y / |x|, e = y - g c, rho = fp16(sqrt(|e|^2 / D)), q = sign(S e) with S
//         D x D of N(0, 1) (gaussian_matrix.h; one for all layers).
//         y' = g c + rho sqrt(pi / (2 D)) S^T q.
// Error   E <q, x'> = <q, x>; variance for unit vectors at most (pi/2) distortion(bits - 1) / D: 0.571 / D,
//         0.184 / D, 0.054 / D for 2 to 4 bits; relative MSE about (pi/2) distortion (TurboProdQuantiserTest).
// Source  TurboQuant (2025), with Hadamard and signs for the first rotation; S as published.
// Oracle  codebook_ops_scalar.cc, sketch_ops_scalar.cc.
#pragma once

#include "kernels/codec/row_quantiser.h"

namespace larder {

class TurboProdQuantiser final : public RowQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
              std::byte* out) const override;
  void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count, const std::byte* in,
              float* rows) const override;
};

}  // namespace larder
