// Rotation, uniform steps and an ideal entropy coder: for Gaussian coordinates 0.2 to 0.4 bits below a Lloyd-Max
// codebook of the same error, 0.25 above Shannon's bound.
//
// Shape   in [token, head_dim] fp32, rotated rows y. Out: one symbol per value, one fp16 scale per row, rANS
//         behind them (symbol_codec.h).
// Symbols z = y sqrt(D) / |y| has unit variance; k = rne(z / step) within +-limit. `bits` 2 to 5 chooses the step
//         whose error is that of a Lloyd-Max codebook of so many bits: 1.264, 0.655, 0.339, 0.174.
// Scale   y' = s c(k), c(k) the mean of N(0,1) in the step; s = |y|^2 / <y, c>, so that <y, y'> = |y|^2: scores
//         keep their size. relMSE is D / (1 - D) where centroids alone have D; 0 for rows below 2^-40.
// Size    1.80, 2.68, 3.61, 4.58 bits per element + 16/D + 1024/(T D) of rANS states (256 below 16,384 elements).
//         The frequencies are those of N(0,1), not stored.
// Error   Gaussian relMSE 0.1331, 0.03578, 0.00959, 0.002505 (UniformQuantiserTest), rounding to the dtype apart.
// Refuses rows whose scale is beyond fp16.    Deterministic: the arithmetic of vector_ops.h.
// Source  entropy-coded scalar quantisation, Gish and Pierce (1968); DRIVE (2021) for the scale.
#pragma once

#include "kernels/codec/symbol_codec.h"
#include "kernels/codec/symbol_level.h"

namespace larder {

class UniformQuantiser final : public SymbolQuantiser {
 public:
  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t SideBytes(const CodecParams& params, TileShape shape) const override;
  bool EncodeRow(const SymbolContext& context, uint32_t row, const float* values, uint8_t* symbols,
                 std::byte* side) const override;
  void FinishSide(const SymbolContext& context, const uint8_t* symbols,
                  std::byte* side) const override;
  bool Tables(const SymbolContext& context, const std::byte* side,
              RansTables* tables) const override;
  void DecodeRow(const SymbolContext& context, uint32_t row, const uint8_t* symbols,
                 const std::byte* side, float* values) const override;
};

// `bits` is 2 to 5.
SymbolLevel UniformLevelOf(uint8_t bits);

}  // namespace larder
