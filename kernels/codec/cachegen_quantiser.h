// Symmetric steps per token and rANS by channel, after CacheGen.
//
// Shape   in [token, head_dim] fp32. Out: one symbol per value, one fp16 maximum m per token, one table number per
//         channel, rANS behind them (symbol_codec.h).
// Symbols k = rne(x * (L / m)) within +-L; x' = k * (m / L). `bits` 5: L = 15, 31 symbols; 4: L = 7, 15 symbols.
//         m is the largest |x| of the token's channels in this head, as stored.
// Tables  64 fixed ones: quantised Gaussian (0 to 31) and Laplace (32 to 63) values of sigma 0.16 x 1.16^i steps. The
//         encoder takes for each channel the one that codes it shortest among the likely ones. The paper's
//         adaptive tables would cost 33 int16 per channel: 2.06 bits per element at T = 256.
// Size    the symbols' length in these tables + 16/D + 8/T + 1024/(T D) bits per element (256 below 16,384
//         elements). At T = 256, D = 128: Gaussian rows 4.65 at 5 bits and 3.57 at 4, channels of log-normal
//         strength (0.7) 3.19 and 2.16 (CacheGenQuantiserTest).
// Error   |x' - x| <= m / (2 L) and 2^-11 m for the rounding of m; rounding to the dtype apart.
// Refuses tokens with a value beyond fp16.    Deterministic: the arithmetic of vector_ops.h, integers.
// Source  CacheGen (SIGCOMM 2024) in the form of LMCache: no deltas between tokens.
#pragma once

#include "kernels/codec/cachegen_tables.h"
#include "kernels/codec/symbol_codec.h"
#include "kernels/codec/symbol_level.h"

namespace larder {

class CacheGenQuantiser final : public SymbolQuantiser {
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

// Frequencies of the 2 L + 1 symbols in table `index` < kCacheGenTables; bits 4 or 5.
const std::vector<uint32_t>& CacheGenFrequencies(uint8_t bits, uint32_t index);

// `bits` is 4 or 5.
SymbolLevel CacheGenLevelOf(uint8_t bits);

}  // namespace larder
