// Entropy-coded codes on a CTA: device twin of symbol_codec.cc with uniform_quantiser.cc or cachegen_quantiser.cc; their headers
// have shape, size, error and source. All threads make or use symbols; the first warp codes them (rans_warp.cuh).
// Oracles: symbol_ops_scalar.cc, rans_scalar.cc.
#pragma once

#include <cfloat>

#include "kernels/codec/cachegen_tables.h"
#include "kernels/codec/device/rans_warp.cuh"
#include "kernels/codec/device/turbo_tile.cuh"
#include "kernels/codec/symbol_codes.h"

namespace larder {

template <bool kCacheGen>
struct SymbolTile {
  static constexpr bool kNeedsRows = true;
  static constexpr bool kWritesChunks = true;
  static constexpr bool kVaries = true;

  struct Shared {
    float* values;     // of the symbols
    float* largest;    // [row][chunk] of a portion, of kCacheGen
    uint8_t* symbols;  // of a portion
    uint32_t* verdict;
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t elements = PortionRows(run.shape.head_dim) * run.shape.head_dim;
    return {arena.Take<float>(kRunValues), arena.Take<float>(kCacheGen ? elements / kChunk : 0),
            arena.Take<uint8_t>(elements), arena.Take<uint32_t>(2)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return run.shape.tokens;
  }
  // Scales in the tile's codes, and the rANS stream behind them.
  LARDER_HOST_DEVICE static uint32_t ScalesAt(const Tile& tile) {
    return kCacheGen ? tile.dim() : 0;
  }
  LARDER_HOST_DEVICE static uint32_t StreamAt(const Tile& tile) {
    return ScalesAt(tile) + (tile.tokens() * 2 + 3) / 4 * 4;
  }
  LARDER_HOST_DEVICE static WarpTables TablesOf(const Tile& tile) {
    const RunSymbols& symbols = tile.run.symbols;
    WarpTables tables{symbols.slots, symbols.ranges, symbols.reciprocals, symbols.alphabet};
    if (kCacheGen) {
      tables.table_of = tile.codes();
      tables.period = tile.dim();
    }
    return tables;
  }

  // kUniform: sixteen rows from `base` of the portion.
  template <typename Cta>
  LARDER_HOST_DEVICE static void UniformRows(const EncodePart<Cta>& part, const Shared& shared,
                                             uint32_t begin, uint32_t base, uint32_t count) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim();
    const RunSymbols& level = tile.run.symbols;
    typename Cta::template PerThread<float> energy, product;
    part.cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      energy[thread] = 0;
      if (row >= count) return;
      const float* y = part.staging.Row(row);
      energy[thread] = LaneSum(thread % 16, dim, [&](uint32_t i) { return y[i] * y[i]; });
    });
    AddLanes(part.cta, energy);
    part.cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      product[thread] = 0;
      if (row >= count) return;
      const float* y = part.staging.Row(row);
      uint8_t* symbols = tile.scratch() + uint64_t{begin + row} * dim;
      const bool empty = energy[thread] < kUniformEnergyMin;
      const float factor =
          empty ? 0.0f
                : SqrtOf(static_cast<float>(dim) / energy[thread]) * level.steps_per_sigma;
      product[thread] = LaneSum(thread % 16, dim, [&](uint32_t i) {
        const uint8_t symbol = empty ? static_cast<uint8_t>(level.limit)
                                     : SymbolOfValue(y[i], factor, level.limit);
        symbols[i] = symbol;
        return y[i] * shared.values[symbol];
      });
    });
    AddLanes(part.cta, product);
    part.cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      if (row >= count || thread % 16 != 0) return;
      uint16_t stored = 0;
      if (!(energy[thread] <= FLT_MAX)) {
        part.bad[thread] = true;
      } else if (!(energy[thread] < kUniformEnergyMin)) {
        const float scale = energy[thread] / product[thread];
        if (!(scale <= kFp16Max)) part.bad[thread] = true;
        stored = Fp16OfFloat(scale);
      }
      StoreWord(stored, tile.codes() + uint64_t{begin + row} * 2);
    });
  }

  // kCacheGen: a portion.
  template <typename Cta>
  LARDER_HOST_DEVICE static void CacheGenRows(const EncodePart<Cta>& part, const Shared& shared,
                                              const PortionReader& reader, uint32_t count) {
    const Tile& tile = part.tile;
    const uint32_t chunks = tile.dim() / kChunk;
    const int limit = tile.run.symbols.limit;
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < count * chunks; item += kCtaThreads) {
        float values[kChunk];
        reader.Chunk(item / chunks, item % chunks, values);
        uint32_t largest = 0;
        for (uint32_t i = 0; i < kChunk; ++i) {
          const uint32_t bits = BitsOf(MagnitudeOf(values[i]));
          largest = bits > largest ? bits : largest;
        }
        shared.largest[item] = FloatOfBits(largest);
      }
    });
    part.cta.Sync();
    part.cta.Each([&](unsigned thread) {
      for (uint32_t row = thread; row < count; row += kCtaThreads) {
        float* of_row = shared.largest + row * chunks;
        uint32_t largest = 0;
        for (uint32_t i = 0; i < chunks; ++i) {
          const uint32_t bits = BitsOf(of_row[i]);
          largest = bits > largest ? bits : largest;
        }
        if (!(FloatOfBits(largest) <= kFp16Max)) part.bad[thread] = true;
        const uint16_t stored = Fp16OfFloat(FloatOfBits(largest));
        StoreWord(stored, tile.codes() + ScalesAt(tile) + uint64_t{reader.begin + row} * 2);
        of_row[0] = stored == 0 ? 0.0f : static_cast<float>(limit) / FloatOfFp16(stored);
      }
    });
    part.cta.Sync();
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < count * chunks; item += kCtaThreads) {
        const uint32_t row = item / chunks;
        float values[kChunk];
        reader.Chunk(row, item % chunks, values);
        uint64_t word = 0;
        for (uint32_t i = 0; i < kChunk; ++i) {
          const uint8_t symbol = SymbolOfValue(values[i], shared.largest[row * chunks], limit);
          word |= uint64_t{symbol} << (8 * i);
        }
        StoreWord(word, tile.scratch() + uint64_t{reader.begin} * tile.dim() + item * kChunk);
      }
    });
    part.cta.Sync();
  }

  // kCacheGen: the table of each channel.
  template <typename Cta>
  LARDER_HOST_DEVICE static void ChooseTables(const EncodePart<Cta>& part) {
    const Tile& tile = part.tile;
    const RunSymbols& level = tile.run.symbols;
    part.cta.Each([&](unsigned thread) {
      for (uint32_t channel = thread; channel < tile.dim(); channel += kCtaThreads) {
        uint32_t counts[kCacheGenMagnitudes] = {};
        for (uint32_t token = 0; token < tile.tokens(); ++token) {
          const int k = tile.scratch()[uint64_t{token} * tile.dim() + channel] - level.limit;
          ++counts[k < 0 ? -k : k];
        }
        tile.codes()[channel] = CacheGenTableOf(level.means, level.lengths, counts, tile.tokens());
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Prepare(Cta& cta, const Tile& tile, const Shared& shared) {
    cta.Each([&](unsigned thread) {
      if (thread < kRunValues) shared.values[thread] = tile.run.symbols.values[thread];
    });
    cta.Sync();
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    Prepare(part.cta, tile, shared);
    const auto quantise = [&](const PortionReader& reader, uint32_t count) {
      if constexpr (kCacheGen) {
        CacheGenRows(part, shared, reader, count);
      } else {
        for (uint32_t base = 0; base < count; base += kCtaThreads / 16) {
          UniformRows(part, shared, reader.begin, base, count);
        }
      }
    };
    ForEachPortion(part, part.range.begin, part.range.end, quantise);
    part.cta.Each([&](unsigned thread) {
      const uint32_t at = ScalesAt(tile) + tile.tokens() * 2 + thread;
      if (at < StreamAt(tile)) tile.codes()[at] = 0;
    });
    part.cta.Sync();
    if constexpr (kCacheGen) {
      ChooseTables(part);
      part.cta.Sync();
    }
    const auto elements = static_cast<uint32_t>(tile.run.shape.elements());
    uint8_t* words_end = tile.scratch() + tile.run.scratch_bytes;
    typename Cta::template PerThread<uint32_t> states;
    part.cta.FirstWarp([&](auto& warp) {
      const uint32_t words =
          EncodeLanes<Cta>(warp, TablesOf(tile), tile.scratch(), elements, words_end, states);
      warp.Each([&](unsigned thread) {
        if (thread == 0) shared.verdict[0] = words;
      });
    });
    part.cta.Sync();
    StoreStream(part.cta, tile, tile.codes() + StreamAt(tile), states, words_end,
                shared.verdict[0]);
  }

  // Whether the tile's size and its tables may be read; equal in all threads.
  template <typename Cta>
  LARDER_HOST_DEVICE static bool Holds(Cta& cta, const Tile& tile) {
    typename Cta::template PerThread<bool> bad;
    cta.Each([&](unsigned thread) {
      const uint32_t size = *tile.size();
      bad[thread] = size > tile.run.tile_bytes || size < tile.mean_bytes() + StreamAt(tile);
      if constexpr (kCacheGen) {
        for (uint32_t i = thread; i < tile.dim() && !bad[thread]; i += kCtaThreads) {
          bad[thread] = tile.codes()[i] >= kCacheGenTables;
        }
      }
    });
    return !cta.Any(bad);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static bool Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), chunks = dim / kChunk;
    const auto elements = static_cast<uint32_t>(tile.run.shape.elements());
    if (!Holds(part.cta, tile)) return false;
    Prepare(part.cta, tile, shared);
    DecodingLanes<Cta> decoding;
    const uint32_t head_bytes = tile.mean_bytes() + StreamAt(tile);
    part.cta.FirstWarp([&](auto& warp) {
      OpenLanes(warp, tile.encoded + head_bytes, *tile.size() - head_bytes, elements, decoding);
    });
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      const PortionWriter writer{tile, part.staging, at};
      part.cta.FirstWarp([&](auto& warp) {
        DecodeLanes(warp, TablesOf(tile), at * dim, (at + count) * dim, decoding, shared.symbols);
        warp.Each([&](unsigned thread) {
          if (thread == 0) shared.verdict[0] = decoding.holds;
        });
      });
      part.cta.Sync();
      if (shared.verdict[0] == 0) return false;
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * chunks; item += kCtaThreads) {
          const uint32_t row = item / chunks;
          const float stored = FloatOfFp16(
              LoadWord<uint16_t>(tile.codes() + ScalesAt(tile) + uint64_t{at + row} * 2));
          const float scale =
              kCacheGen ? stored / static_cast<float>(tile.run.symbols.limit) : stored;
          float values[kChunk];
          for (uint32_t i = 0; i < kChunk; ++i) {
            values[i] = shared.values[shared.symbols[item * kChunk + i]] * scale;
          }
          writer.Chunk(row, item % chunks, values);
        }
      });
      RestorePortion(part, at, count);
    }
    part.cta.FirstWarp([&](auto& warp) {
      const bool closed = CloseLanes(warp, decoding);
      warp.Each([&](unsigned thread) {
        if (thread == 0) shared.verdict[1] = closed;
      });
    });
    part.cta.Sync();
    return shared.verdict[1] != 0;
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <typename Visitor>
auto VisitSymbols(const TileRun& run, const Visitor& visit) {
  return run.id == CodecId::kCacheGen ? visit.template Visit<SymbolTile<true>>()
                                      : visit.template Visit<SymbolTile<false>>();
}

}  // namespace larder
