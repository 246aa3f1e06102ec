// One rANS stream coded by a warp, a lane of the stream per thread: device twin of rans_scalar.cc, which is the oracle. The
// bytes are those of rans.h. A step is one symbol of each lane.
//
// Cost: a step waits for the last one's states, so a warp codes a few hundred million symbols a second at best; tiles are
// what runs side by side.
#pragma once

#include "kernels/codec/device/tile_rows.cuh"
#include "kernels/codec/rans.h"

namespace larder {

// Tables as rans.h's RansTables; a table per channel when `table_of` is set.
struct WarpTables {
  const uint32_t* slots = nullptr;
  const uint32_t* ranges = nullptr;
  const uint32_t* reciprocals = nullptr;
  uint32_t alphabet = 0;
  const uint8_t* table_of = nullptr;  // [period]
  uint32_t period = 1;
  uint32_t first_symbol = 0;  // of the alphabet that ranges describe

  LARDER_HOST_DEVICE uint32_t TableOf(uint32_t symbol) const {
    return table_of == nullptr ? 0 : table_of[symbol % period];
  }
};

// Codes `count` symbols. The words end at words_end, states are left in `states`; returns the number of words.
template <typename Cta, typename Warp>
LARDER_HOST_DEVICE uint32_t EncodeLanes(Warp& warp, const WarpTables& tables,
                                        const uint8_t* symbols, uint32_t count,
                                        uint8_t* words_end,
                                        typename Cta::template PerThread<uint32_t>& states) {
  const auto lanes = static_cast<uint32_t>(RansLanes(count));
  typename Cta::template PerThread<bool> sends;
  typename Cta::template PerThread<uint32_t> range, reciprocal;
  uint32_t words = 0;
  warp.Each([&](unsigned thread) { states[thread] = kRansLow; });
  for (uint32_t begin = (count - 1) / lanes * lanes + lanes; begin > 0;) {
    begin -= lanes;
    warp.Each([&](unsigned thread) {
      sends[thread] = false;
      range[thread] = 0;
      if (thread >= lanes || begin + thread >= count) return;
      const uint32_t at = begin + thread;
      const uint32_t entry =
          tables.TableOf(at) * tables.alphabet + symbols[at] - tables.first_symbol;
      range[thread] = tables.ranges[entry];
      reciprocal[thread] = tables.reciprocals[entry];
      sends[thread] =
          states[thread] >> (32 - kRansScaleBits) >= range[thread] >> kRansScaleBits;
    });
    const uint32_t mask = warp.Ballot(sends);
    warp.Each([&](unsigned thread) {
      if (range[thread] == 0) return;  // frequencies are not 0
      uint32_t state = states[thread];
      if (sends[thread]) {
        // The last lane of a step sends first, and words go before one another.
        const uint32_t later = BitsSet(mask >> thread) - 1;
        StoreWord(static_cast<uint16_t>(state), words_end - 2 * (uint64_t{words} + later + 1));
        state >>= 16;
      }
      const uint32_t frequency = range[thread] >> kRansScaleBits;
      auto quotient = static_cast<uint32_t>(uint64_t{state} * reciprocal[thread] >> 32);
      if (state - quotient * frequency >= frequency) ++quotient;
      states[thread] =
          state + quotient * (kRansScale - frequency) + (range[thread] & (kRansScale - 1));
    });
    words += BitsSet(mask);
  }
  return words;
}

// A stream that is being decoded; what a warp keeps between portions.
template <typename Cta>
struct DecodingLanes {
  typename Cta::template PerThread<uint32_t> states;
  typename Cta::template PerThread<bool> wants;
  const uint8_t* at = nullptr;
  const uint8_t* end = nullptr;
  uint32_t lanes = 0;
  bool holds = false;  // equal in all threads of the warp
};

// Reads the states of a stream of `bytes` bytes at `in`, aligned to 4.
template <typename Cta, typename Warp>
LARDER_HOST_DEVICE void OpenLanes(Warp& warp, const uint8_t* in, uint32_t bytes, uint32_t count,
                                  DecodingLanes<Cta>& decoding) {
  decoding.lanes = static_cast<uint32_t>(RansLanes(count));
  decoding.holds = bytes >= 4 * decoding.lanes && bytes % 2 == 0;
  if (!decoding.holds) return;
  warp.Each([&](unsigned thread) {
    decoding.wants[thread] = false;
    if (thread >= decoding.lanes) return;
    decoding.states[thread] = LoadWord<uint32_t>(in + 4 * thread);
    decoding.wants[thread] = decoding.states[thread] < kRansLow;
  });
  decoding.holds = warp.Ballot(decoding.wants) == 0;
  decoding.at = in + 4 * decoding.lanes;
  decoding.end = in + bytes;
}

// Symbols [begin, end) to out[0] and on; `begin` is a multiple of 32.
template <typename Cta, typename Warp>
LARDER_HOST_DEVICE void DecodeLanes(Warp& warp, const WarpTables& tables, uint32_t begin,
                                    uint32_t end, DecodingLanes<Cta>& decoding, uint8_t* out) {
  for (uint32_t step = begin; step < end && decoding.holds; step += decoding.lanes) {
    warp.Each([&](unsigned thread) {
      decoding.wants[thread] = false;
      const uint32_t at = step + thread;
      if (thread >= decoding.lanes || at >= end) return;
      uint32_t& state = decoding.states[thread];
      const uint32_t slot = state & (kRansScale - 1);
      const uint32_t entry = tables.slots[uint64_t{tables.TableOf(at)} * kRansScale + slot];
      const uint32_t high = state >> kRansScaleBits;
      out[at - begin] = static_cast<uint8_t>(entry);
      state = (entry >> 8 & (kRansScale - 1)) * high + high + (entry >> 20);
      decoding.wants[thread] = state < kRansLow;
    });
    const uint32_t mask = warp.Ballot(decoding.wants);
    const uint32_t words = BitsSet(mask);
    if (decoding.at + 2 * words > decoding.end) {
      decoding.holds = false;
      return;
    }
    warp.Each([&](unsigned thread) {
      if (!decoding.wants[thread]) return;
      const uint32_t earlier = BitsSet(mask & ((1u << thread) - 1));
      decoding.states[thread] =
          decoding.states[thread] << 16 | LoadWord<uint16_t>(decoding.at + 2 * earlier);
    });
    decoding.at += 2 * words;
  }
}

// Whether all symbols were there and nothing more.
template <typename Cta, typename Warp>
LARDER_HOST_DEVICE bool CloseLanes(Warp& warp, DecodingLanes<Cta>& decoding) {
  if (!decoding.holds) return false;
  warp.Each([&](unsigned thread) {
    decoding.wants[thread] =
        thread < decoding.lanes && decoding.states[thread] != kRansLow;
  });
  return warp.Ballot(decoding.wants) == 0 && decoding.at == decoding.end;
}

// The end of an encoded tile whose size varies: states and words of `scratch` to `stream`, the tile's size, and zeros up to a
// multiple of 16. `words` words end at words_end, which lies outside the tile. Every thread knows `words`.
template <typename Cta>
LARDER_HOST_DEVICE void StoreStream(Cta& cta, const Tile& tile, uint8_t* stream,
                                    typename Cta::template PerThread<uint32_t>& states,
                                    const uint8_t* words_end, uint32_t words) {
  const auto lanes = static_cast<uint32_t>(RansLanes(tile.run.shape.elements()));
  const auto bytes = static_cast<uint32_t>(stream - tile.encoded) + 4 * lanes + 2 * words;
  cta.Each([&](unsigned thread) {
    if (thread < lanes) StoreWord(states[thread], stream + 4 * thread);
    for (uint32_t i = thread; i < words; i += kCtaThreads) {
      StoreWord(LoadWord<uint16_t>(words_end - 2 * uint64_t{words - i}),
                stream + 4 * lanes + 2 * uint64_t{i});
    }
    if (thread < 15 - (bytes - 1) % 16) tile.encoded[bytes + thread] = 0;
    if (thread == 0) *tile.size() = bytes;
  });
}

}  // namespace larder
