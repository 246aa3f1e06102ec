// Signs of a random projection of a key, and its norm (QJL). SCORE ONLY: the sketch estimates inner
// products, not the key; what it decodes to serves to rank keys and is far from them.
//
// Shape   in [token, head_dim] fp32. Out: fp16 norm per token, zero to a multiple of 16; then each row's
//         sketch, m = `boosted` bits, 32 to 1024 and a multiple of 32.
// Size    AlignTile(2 T) + T m / 8 bytes: (m + 16) / D per element, 2.125 at m = 256, D = 128.
// Coding  sign(S k), S m x D of N(0, 1) (gaussian_matrix.h; one for all layers).
//         k' = norm sqrt(pi / 2) / m S^T sign(S k).
// Error   E <q, k'> = <q, k>, variance ((pi/2) |q|^2 |k|^2 - <q, k>^2) / m; relative MSE of k' about
//         (pi/2) D / m, 0.79 at m = 2 D (QjlQuantiserTest).
// Source  QJL (2024). Without its separate sketch of outlier channels: centring removes those. The values of
//         its format are turbo4: it speaks of keys only.
// Oracle  sketch_ops_scalar.cc.
#pragma once

#include "kernels/codec/row_quantiser.h"

namespace larder {

class QjlQuantiser final : public RowQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
              std::byte* out) const override;
  void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count, const std::byte* in,
              float* rows) const override;
};

}  // namespace larder
