// Exact storage of bf16 and fp16: the exponents, whose distribution is narrow, go through rANS; sign and
// mantissa, which look like noise, stay as they are.
//
// Shape   in [token, head_dim], any bit pattern, NaN and infinity included; out at most 2 T D bytes.
// Layout  exactly 2 T D bytes: the elements, raw (the coded form would not be smaller). Less: the planes of
//         sign and mantissa, the frequencies of the exponents, a rANS stream (FORMAT.md).
// Size    Gaussian bf16 10.57 bits per element at T = 256, D = 128, 10.59 at T = 64, 10.71 at T = 16; fp16
//         13.57, 13.59, 13.71 (LosslessCodecTest). Frequencies take about 20 bytes, the rANS states 128 (32 in
//         tiles below 16,384 elements).
// Error   none.    Deterministic. Stateless, thread-safe.    Accepts no transform: all would round.
// Source  the split is that of DFloat11 (2025) and of ZipNN (2024); both use Huffman codes.
#pragma once

#include "kernels/codec/tile_codec.h"

namespace larder {

class LosslessCodec final : public TileCodec {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t BytesMax(const CodecParams&, TileShape shape) const override {
    return shape.elements() * 2;
  }
  bool FixedSize() const override { return false; }
  std::optional<uint64_t> Encode(const TileContext& context, TileShape shape,
                                 const SourceRows& source, Workspace& workspace,
                                 std::byte* out) const override;
  bool Decode(const TileContext& context, TileShape shape, std::span<const std::byte> in,
              Workspace& workspace, const TargetRows& target) const override;
};

}  // namespace larder
