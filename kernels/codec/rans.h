// Range asymmetric numeral systems: the entropy coder of variable-size codecs. Scalar and SIMD forms
// give the same bytes and reach the same verdicts; all arithmetic is on integers.
//
// W lanes, each with a 32-bit state, code symbols l, l + W, l + 2W, ... of the stream (lane l). W is 8
// below kRansWideSymbols symbols, where 32 states would weigh too much, and 32 from there on: a GPU warp.
//   stream = [state u32 x W][word u16 x any]   little-endian
// Decoding symbol i of lane l:  slot = x mod 4096, symbol = the one whose range has the slot,
//   x = frequency * (x >> 12) + slot - start; if x < 2^16: x = x << 16 | next word.
// Words are read in the order of i. So the W lanes of a step may go at once: a lane's word is the one at the
// count of lanes before it that want one. States begin at 2^16 in the encoder, which codes backwards, and
// must be there again when all symbols are decoded, with no word left: damage seldom goes unnoticed.
//
// Frequencies of an alphabet are 12-bit probabilities: they add up to 4096, every symbol that may be coded
// has at least 1. A stream may use one table or a set, symbol i then the one that `table_of` gives.
// Size    4 W + 2 x words bytes; words x 16 bits = the sum of -log2(frequency / 4096) within 0.1 %, less the
//         share that stays in the states (RansTest).
// Source  J. Duda, Asymmetric numeral systems (2013); F. Giesen, Interleaved entropy coders (2014).
// Pure functions and immutable views: thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/codec/rans_frequencies.h"
#include "kernels/codec/vector_ops.h"

namespace larder {

inline constexpr uint32_t kRansLow = 1u << 16;  // states stay at or above it between symbols
inline constexpr size_t kRansLanesMax = 32;
inline constexpr size_t kRansWideSymbols = 16'384;

LARDER_HOST_DEVICE constexpr size_t RansLanes(size_t count) {
  return count < kRansWideSymbols ? 8 : kRansLanesMax;
}

// The most that `count` symbols take: each sends at most one word.
constexpr size_t RansBytesMax(size_t count) { return 4 * RansLanes(count) + 2 * count; }

// The tables of a stream; the memory belongs to the caller. A decoder needs `slots`, an encoder the other two.
struct RansTables {
  // [table][4096]: symbol | frequency - 1 << 8 | (slot - start) << 20.
  const uint32_t* slots = nullptr;
  // [table][alphabet]: start | frequency << 12, and floor(2^32 / frequency), at most 2^32 - 1.
  const uint32_t* ranges = nullptr;
  const uint32_t* reciprocals = nullptr;
  uint32_t alphabet = 0;
  // Symbol i has table table_of[i mod period]; null: table 0. period >= 16; kRansLanesMax more entries
  // stand behind the period, which go on with it: table_of[period + j] == table_of[j].
  const uint32_t* table_of = nullptr;
  uint32_t period = 0;
};

struct RansOps {
  // Writes RansBytesMax(count) bytes at most and returns how many; `out` has room for that. Every symbol is
  // below `alphabet` and its frequency is not 0.
  size_t (*encode)(const RansTables& tables, const uint8_t* symbols, size_t count, std::byte* out);
  // False when `in` is not what encode writes for `count` symbols; `symbols` then holds anything. Never reads
  // beyond `in`, whatever it holds.
  bool (*decode)(const RansTables& tables, std::span<const std::byte> in, uint8_t* symbols,
                 size_t count);
};

const RansOps& RansOpsOf(Isa isa);

// Frequencies in proportion to `counts` (not all 0, each below 2^48): at least 1 where the count is not 0, and 0
// where it is. At most kRansScale counts are not 0. Deterministic: rounds down, then corrects one step at a time
// where it costs least, the lowest symbol first among equals.
void NormaliseFrequencies(std::span<const uint64_t> counts, uint32_t* frequencies);

// Table entries of an alphabet whose first symbol is `first`: kRansScale slots. The frequencies add up to
// kRansScale.
void FillRansSlots(std::span<const uint32_t> frequencies, uint8_t first, uint32_t* slots);
// frequencies.size() entries each.
void FillRansRanges(std::span<const uint32_t> frequencies, uint32_t* ranges, uint32_t* reciprocals);

}  // namespace larder
