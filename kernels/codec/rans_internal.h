// What rans_scalar.cc and rans_simd.cc share; included by nothing else.
#pragma once

#include <cstring>

#include "kernels/codec/rans.h"

namespace larder {

const RansOps& SimdRansOps();

namespace rans {

inline uint32_t TableOf(const RansTables& tables, size_t i) {
  return tables.table_of == nullptr ? 0 : tables.table_of[i % tables.period];
}

// One symbol: sends a word before `at` when the state has no room for the symbol.
inline void EncodeSymbol(const RansTables& tables, size_t i, uint8_t symbol, uint32_t& state,
                         std::byte*& at) {
  const size_t entry = size_t{TableOf(tables, i)} * tables.alphabet + symbol;
  const uint32_t start = tables.ranges[entry] & (kRansScale - 1);
  const uint32_t frequency = tables.ranges[entry] >> kRansScaleBits;
  if (state >> (32 - kRansScaleBits) >= frequency) {
    const auto word = static_cast<uint16_t>(state);
    at -= 2;
    std::memcpy(at, &word, 2);
    state >>= 16;
  }
  // The quotient by the reciprocal is 1 too small at most.
  auto quotient = static_cast<uint32_t>(uint64_t{state} * tables.reciprocals[entry] >> 32);
  if (state - quotient * frequency >= frequency) ++quotient;
  state += quotient * (kRansScale - frequency) + start;
}

// One symbol; false when a word is wanted and `at` has reached `end`.
inline bool DecodeSymbol(const RansTables& tables, size_t i, uint8_t& symbol, uint32_t& state,
                         const std::byte*& at, const std::byte* end) {
  const uint32_t slot = state & (kRansScale - 1);
  const uint32_t entry = tables.slots[size_t{TableOf(tables, i)} * kRansScale + slot];
  const uint32_t high = state >> kRansScaleBits;
  symbol = static_cast<uint8_t>(entry);
  state = (entry >> 8 & (kRansScale - 1)) * high + high + (entry >> 20);
  if (state >= kRansLow) return true;
  if (at == end) return false;
  uint16_t word;
  std::memcpy(&word, at, 2);
  at += 2;
  state = state << 16 | word;
  return true;
}

// Reads the states; false when `in` is too short or odd, or a state is out of range.
inline bool ReadStates(std::span<const std::byte> in, size_t lanes, uint32_t* states) {
  if (in.size() < 4 * lanes || in.size() % 2 != 0) return false;
  std::memcpy(states, in.data(), 4 * lanes);
  for (size_t lane = 0; lane < lanes; ++lane) {
    if (states[lane] < kRansLow) return false;
  }
  return true;
}

inline bool AllAtRest(const uint32_t* states, size_t lanes) {
  for (size_t lane = 0; lane < lanes; ++lane) {
    if (states[lane] != kRansLow) return false;
  }
  return true;
}

// Joins states and the words that end at out + RansBytesMax(count); returns the bytes of the stream.
inline size_t Finish(const uint32_t* states, size_t count, const std::byte* at, std::byte* out) {
  const size_t lanes = RansLanes(count);
  const auto word_bytes = static_cast<size_t>(out + RansBytesMax(count) - at);
  std::memmove(out + 4 * lanes, at, word_bytes);
  std::memcpy(out, states, 4 * lanes);
  return 4 * lanes + word_bytes;
}

}  // namespace rans
}  // namespace larder
