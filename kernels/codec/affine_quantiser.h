// Affine codes with a step and a minimum per group, along tokens (for keys) or along channels (for
// values).
//
// Shape   in [token, head_dim] fp32, bf16 or fp16.
// Tokens  kAffineTokens: a group is `group` consecutive tokens of one channel. Out, group of tokens by
//         group of tokens: fp16 scale x D, fp16 minimum x D, then words of u32, [word][channel] (affine_ops.h).
//         The last group may be short; its last words are filled up with zero bits.
// Channels kAffineChannels: a group is `group` (at most D) consecutive channels of one token, the last one
//         of a token what is left: G of them. Out: fp16 scale, [token][G]; fp16 minimum, [token][G]; codes
//         [token][channel], packed (packing.h).
// Size    b + 32 / group bits per element when the groups are full (and, along tokens, of a multiple of 32
//         / b tokens): 2.25 for b = 2 and group = 128, 3.0 for group = 32.
// Codes   fp32. m = fp16(min); s = fp16((max - min) / (2^b - 1)); i = 1 / s of the stored s, 0 when s is 0;
//         q = rne(clamp((x - m) i, 0, 2^b - 1)) with the stored m. x' = q s + m.
// Error   about s / 2, plus the rounding of m and of 2^b s; relative MSE on Gaussian rows
//         (AffineQuantiserTest). Refused: values that are not finite, a scale or a minimum beyond 65504.
// Source  KIVI (ICML 2024). We quantise with the stored scale and minimum, and a block's last group may be
//         short in place of a residual window.
// Oracle  affine_ops_scalar.cc.
#pragma once

#include "kernels/codec/affine_codes.h"
#include "kernels/codec/direct_quantiser.h"

namespace larder {

inline constexpr uint32_t kAffineTokensMax = 256;  // of a group
inline constexpr uint32_t kAffineChannelsMax =
    1024;  // of a group; stands for all channels of most heads

// CodecParams: bits 2, 3, 4 or 8; group a multiple of 16 up to the most of its axis. 3 bits along
// channels need a head_dim that is a multiple of 32.
class AffineQuantiser final : public DirectQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t Bytes(const CodecParams& params, TileShape shape) const override;
  uint32_t RowsTogether(const CodecParams& params, TileShape shape) const override;
  bool EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                  const SourceElements& source, std::byte* out) const override;
  void DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                  const std::byte* in, const TargetElements& target) const override;
};

}  // namespace larder
