// kTurbo in two tiers: the strongest channels of a tile get one bit more and a rotation of their own.
//
// Shape   in [token, head_dim] fp32, not rotated. Out: a bit per channel, 1 for the strong ones, zero to a
//         multiple of 16 bytes; the strong channels' tile and the others', each as turbo_quantiser.h's at
//         bits + 1 and bits, in the order of the channels.
// Size    (bits + boosted / D) + 32/D per element and 1/T: 2.51 at 2 bits, 32 of 128 channels.
// Strong  The `boosted` channels with the largest sum of squares over the tile's tokens, in fp32, added in the
//         order of the tokens; of equal ones the lower channel. The paper calibrates the set per model; here
//         every tile has its own, which costs 1/T bits per element and no profile.
// Error   That of kTurbo at `bits` on the weak channels' energy and at bits + 1 on the strong ones'
//         (TurboTieredQuantiserTest): outlier channels no longer share their error with the others.
// Source  TurboQuant (2025), section 4.3: 2.5 and 3.5 bits. The printed 2.5 is 2.25 before its norms.
// Oracle  that of kTurbo; what is added here is plain C++ in both forms.
#pragma once

#include "kernels/codec/turbo_quantiser.h"

namespace larder {

class TurboTieredQuantiser final : public RowQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  // The channels are chosen over the whole tile.
  uint32_t RowsTogether(const CodecParams&, TileShape shape) const override { return shape.tokens; }
  bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
              std::byte* out) const override;
  // Where a tile names more strong channels than there are, the first ones count; where fewer, the lowest
  // others fill up.
  void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count, const std::byte* in,
              float* rows) const override;

 private:
  TurboQuantiser turbo_;
};

}  // namespace larder
