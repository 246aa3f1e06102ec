// ggml's block formats, byte for byte: q8_0, q4_0, q4_1, q5_0, q5_1 and iq4_nl.
//
// Shape   in [token, head_dim] fp32, bf16 or fp16. Out: one block per group of 32 consecutive values of the
//         tile, [token][head_dim] flattened; the last group is filled up with zeros. Equal to ggml's rows
//         when head_dim is a multiple of 32.
// Block   fp16 scale d; q4_1 and q5_1: fp16 minimum m; q5_0 and q5_1: u32 whose bit j is bit 4 of code j;
//         q8_0: 32 int8. Others: 16 bytes, code j in the low and j + 16 in the high nibble of byte j.
// Size    ceil(T D / 32) blocks of 34, 18, 20, 22, 24 and 18 bytes: 8.5, 4.5, 5.0, 5.5, 6.0, 4.5 bits.
// Codes   fp32, `/` rounded, id = 1 / d before d is rounded to fp16 (0 when |d| < 2^-120, where ggml leaves
//         it open): q8_0 d = max|x| / 127, q = x id, halves away from zero; q4_0 and q5_0 d = s / -8 and
//         s / -16 with s the first value of largest magnitude, q = min(trunc(x id + 8.5), 15) and
//         (x id + 16.5, 31); q4_1 and q5_1 d = (max - min) / 15 and / 31, q = trunc((x - min) id + 0.5).
//         iq4_nl: d = s / -127; y = x id, q = nearest of the table (halves up); d = d sum(y^2 q y) /
//         sum(y^2 q q); q again, nearest to x / d.
// Values  q8_0 q d; q4_0 (q - 8) d; q5_0 (q - 16) d; q4_1, q5_1 q d + m; iq4_nl table[q] d.
// Error   relative MSE on Gaussian rows 2.86e-5, 0.00737, 0.00611 (q8_0, q4_0, q4_1; GgmlQuantiserTest).
//         Refused: values that are not finite; a scale or a minimum beyond 65504.
// Source  the ggml library's reference quantisers; iq4_nl's two steps are one round of its search.
// Oracle  ggml_ops_scalar.cc.
#pragma once

#include "kernels/codec/direct_quantiser.h"
#include "kernels/codec/ggml_ops.h"

namespace larder {

class GgmlQuantiser final : public DirectQuantiser {
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
