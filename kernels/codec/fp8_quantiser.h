// FP8 with one scale for the rows of a head.
//
// Shape   in [token, head_dim] fp32. Out: fp32 scale, 12 zero bytes, then one code per value, [token][head_dim].
// Size    16 + T x D bytes: 8 bits per element and 128 bits per head (0.004 at T = 256, D = 128).
// Scale   max |x| / 448 (E4M3) or / 57344 (E5M2); with kFp8PowerOfTwo the next power of two from there
//         up, so that scaling is exact. x' = scale * fp8(x * (1 / scale)), saturating, half to even.
//         With a transform a scale above 2^96 refuses the tile, and such a scale, a negative one or a NaN
//         in a frame reads as 0.
// Error   |x' - x| <= |x| 2^-4 (E4M3) or 2^-3 (E5M2), or half a subnormal step (scale 2^-10, 2^-17);
//         relative MSE on Gaussian rows 7.0e-4 and 2.8e-3 (Fp8QuantiserTest).
// Variant bit 0: 0 E4M3, 1 E5M2. Bit 1: power-of-two scale.
// Source  OCP 8-bit floating point specification, 2023.
#pragma once

#include "kernels/codec/direct_quantiser.h"
#include "kernels/codec/fp8_scale.h"

namespace larder {

class Fp8Quantiser final : public DirectQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  bool UsesMaxMagnitude() const override { return true; }
  bool EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                  const SourceElements& source, std::byte* out) const override;
  void DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                  const std::byte* in, const TargetElements& target) const override;
};

}  // namespace larder
