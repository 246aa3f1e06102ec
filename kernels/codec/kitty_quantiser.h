// Affine codes of 2 bits along tokens for keys, with 4 bits for the strongest channels of each page
// of 128 tokens.
//
// Shape   in [token, head_dim] fp32, bf16 or fp16; a page is `group` = 128 tokens, the last one may be short.
// Page    fp16 scale x D; fp16 minimum x D; map, u8 x D: the slot of a boosted channel, `boosted` for the
//         others; plane A, u32 [word][channel]: the low 2 bits of each code, 16 tokens to a word; plane B,
//         u32 [word][slot]: the high 2 bits of the boosted channels' codes. The last word of a short page is
//         filled up with zero bits.
// Size    2 + 2 boosted / D + 8 / 128 + 32 / 128 bits per element in full pages: 2.5625 for boosted = D / 8.
// Boosted the `boosted` channels with the largest sum of |x| over the page, added in the order of the tokens
//         in fp32; of equal ones the lowest. Slots in the order of the channels.
// Codes   as AffineQuantiser's, of 15 levels above the minimum for boosted channels and 3 for the others.
//         Channels that are not boosted decode from plane A alone; plane A of the others holds low bits, so
//         it is no coarse version of them.
// Error   of a channel as AffineQuantiser's with its bits and g = 128 (KittyQuantiserTest).
// Source  Kitty (2025). We round half to even; values are AffineQuantiser's, 2 bits along all channels.
// Oracle  affine_ops_scalar.cc.
#pragma once

#include "kernels/codec/direct_quantiser.h"

namespace larder {

inline constexpr uint32_t kKittyPageTokens = 128;
inline constexpr uint32_t kKittyHeadDimMax = 1024;
inline constexpr uint32_t kKittyBoostedMax = 255;  // the map has a byte per channel

// CodecParams: bits 2, group 128, boosted 1 to min(D, 255).
class KittyQuantiser final : public DirectQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  uint32_t RowsTogether(const CodecParams&, TileShape) const override { return kKittyPageTokens; }
  bool EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                  const SourceElements& source, std::byte* out) const override;
  void DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                  const std::byte* in, const TargetElements& target) const override;
};

}  // namespace larder
