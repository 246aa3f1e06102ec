// Lossless tiles on a CTA: device twin of lossless_codec.cc; its header has shape, size and source. Exponents pass through the
// first warp (rans_warp.cuh), the other bits go straight between rows and tile.
// Oracles: symbol_ops_scalar.cc, rans_scalar.cc; the table is lossless_table.h's.
#pragma once

#include "kernels/codec/device/chunk_codes.cuh"
#include "kernels/codec/device/rans_warp.cuh"
#include "kernels/codec/device/tile_coder.cuh"
#include "kernels/codec/lossless_table.h"
#include "kernels/codec/symbol_codes.h"

namespace larder {

struct LosslessTile {
  static constexpr bool kNeedsRows = false;
  static constexpr bool kVaries = true;
  static constexpr bool kMovesBits = true;  // no fp32 rows
  static constexpr uint32_t kPortionSymbols = 8192;

  struct Shared {
    uint32_t* counts;  // of each exponent; then where the range of each begins
    uint32_t* ranges;
    uint32_t* reciprocals;
    uint32_t* slots;  // [4096]; when encoding the table's bytes
    uint8_t* symbols;
    ExponentTable* table;
    uint32_t* verdict;
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun&) {
    return {arena.Take<uint32_t>(kExponentsMax + 1), arena.Take<uint32_t>(kExponentsMax),
            arena.Take<uint32_t>(kExponentsMax),     arena.Take<uint32_t>(kRansScale),
            arena.Take<uint8_t>(kPortionSymbols),    arena.Take<ExponentTable>(1),
            arena.Take<uint32_t>(2)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return run.shape.tokens;
  }

  struct Planes {
    LARDER_HOST_DEVICE explicit Planes(const Tile& tile)
        : bf16(tile.run.dtype == Dtype::kBf16),
          elements(static_cast<uint32_t>(tile.run.shape.elements())),
          high_codes(bf16 ? 0 : (elements + 31) / 32 * 32),
          bytes(elements + high_codes / 8 * 3) {}
    bool bf16;
    uint32_t elements, high_codes, bytes;
  };

  LARDER_HOST_DEVICE static uint8_t* ChunkAt(const Tile& tile, uint32_t chunk) {
    const uint32_t chunks = tile.dim() / kChunk;
    return tile.Row(chunk / chunks) + uint64_t{chunk % chunks} * 16;
  }

  // Every element apart: low bits to the tile, exponents to scratch and counted.
  template <typename Cta>
  LARDER_HOST_DEVICE static void Split(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const Planes planes(tile);
    part.cta.Each([&](unsigned thread) {
      const uint32_t chunks = planes.elements / kChunk;
      const uint32_t padded = planes.bf16 ? chunks : planes.high_codes / kChunk;
      for (uint32_t chunk = thread; chunk < padded; chunk += kCtaThreads) {
        uint32_t high[kChunk] = {};
        if (chunk < chunks) {
          const auto loaded = LoadWord<Words4>(ChunkAt(tile, chunk));
          uint64_t low = 0, exponents = 0;
          for (uint32_t i = 0; i < kChunk; ++i) {
            const uint32_t bits = loaded.words[i / 2] >> (i % 2 * 16) & 0xFFFFu;
            const SplitElement split =
                planes.bf16 ? SplitBf16Element(bits) : SplitFp16Element(bits);
            CountUp(&shared.counts[split.exponent]);
            low |= uint64_t{split.low} << (8 * i);
            exponents |= uint64_t{split.exponent} << (8 * i);
            high[i] = split.high;
          }
          StoreWord(low, tile.encoded + uint64_t{chunk} * kChunk);
          StoreWord(exponents, tile.scratch() + uint64_t{chunk} * kChunk);
        }
        if (!planes.bf16) PackChunk<3>(high, chunk, tile.encoded + planes.elements);
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const Planes planes(tile);
    part.cta.Each([&](unsigned thread) {
      for (uint32_t i = thread; i < kExponentsMax; i += kCtaThreads) shared.counts[i] = 0;
    });
    part.cta.Sync();
    Split(part, shared);
    part.cta.Sync();
    auto* table_bytes = reinterpret_cast<uint8_t*>(shared.slots);
    part.cta.Each([&](unsigned thread) {
      if (thread != 0) return;
      // In the slots' memory, behind the table's bytes.
      auto* counts = reinterpret_cast<uint64_t*>(shared.slots + 1024);
      for (uint32_t i = 0; i < kExponentsMax; ++i) counts[i] = shared.counts[i];
      MakeExponentTable(counts, *shared.table);
      shared.verdict[1] = WriteExponentTable(*shared.table, table_bytes);
      uint32_t start = 0;
      for (uint32_t i = 0; i < shared.table->size; ++i) {
        const uint32_t frequency = shared.table->frequencies[i];
        shared.ranges[i] = start | frequency << kRansScaleBits;
        shared.reciprocals[i] = RansReciprocal(frequency);
        start += frequency;
      }
    });
    part.cta.Sync();
    uint8_t* words_end = tile.scratch() + tile.run.scratch_bytes;
    typename Cta::template PerThread<uint32_t> states;
    part.cta.FirstWarp([&](auto& warp) {
      WarpTables tables{nullptr, shared.ranges, shared.reciprocals, shared.table->size};
      tables.first_symbol = shared.table->first;
      const uint32_t words =
          EncodeLanes<Cta>(warp, tables, tile.scratch(), planes.elements, words_end, states);
      warp.Each([&](unsigned thread) {
        if (thread == 0) shared.verdict[0] = words;
      });
    });
    part.cta.Sync();
    const uint32_t words = shared.verdict[0], table_size = shared.verdict[1];
    const auto lanes = static_cast<uint32_t>(RansLanes(planes.elements));
    if (planes.bytes + table_size + 4 * lanes + 2 * words >= planes.elements * 2) {
      part.cta.Each([&](unsigned thread) {
        for (uint32_t chunk = thread; chunk < planes.elements / kChunk; chunk += kCtaThreads) {
          StoreWord(LoadWord<Words4>(ChunkAt(tile, chunk)), tile.encoded + uint64_t{chunk} * 16);
        }
        if (thread == 0) *tile.size() = planes.elements * 2;
      });
      return;
    }
    part.cta.Each([&](unsigned thread) {
      for (uint32_t i = thread; i < table_size; i += kCtaThreads) {
        tile.encoded[planes.bytes + i] = table_bytes[i];
      }
    });
    StoreStream(part.cta, tile, tile.encoded + planes.bytes + table_size, states, words_end, words);
  }

  // The table in front of the stream to shared.slots; its bytes in shared.verdict[1], 0 when it is not well-formed.
  template <typename Cta>
  LARDER_HOST_DEVICE static void ReadTable(Cta& cta, const Tile& tile, const Shared& shared) {
    const Planes planes(tile);
    cta.Each([&](unsigned thread) {
      if (thread != 0) return;
      shared.verdict[1] =
          ReadExponentTable(tile.encoded + planes.bytes, *tile.size() - planes.bytes,
                            planes.bf16 ? 256 : 32, *shared.table);
      if (shared.verdict[1] == 0) return;
      uint32_t start = 0;
      for (uint32_t i = 0; i < shared.table->size; ++i) {
        shared.counts[i] = start;
        start += shared.table->frequencies[i];
      }
    });
    cta.Sync();
    if (shared.verdict[1] == 0) return;
    cta.Each([&](unsigned thread) {
      for (uint32_t slot = thread; slot < kRansScale; slot += kCtaThreads) {
        uint32_t low = 0, high = shared.table->size;  // the last one that begins at or before the slot
        while (high - low > 1) {
          const uint32_t middle = (low + high) / 2;
          (shared.counts[middle] <= slot ? low : high) = middle;
        }
        shared.slots[slot] = RansSlot(shared.table->first + low, shared.table->frequencies[low],
                                      slot - shared.counts[low]);
      }
    });
    cta.Sync();
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Merge(Cta& cta, const Tile& tile, const Shared& shared,
                                       uint32_t begin, uint32_t count) {
    const Planes planes(tile);
    cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < count / kChunk; item += kCtaThreads) {
        const uint32_t chunk = begin / kChunk + item;
        const auto low = LoadWord<uint64_t>(tile.encoded + uint64_t{chunk} * kChunk);
        uint32_t high[kChunk] = {};
        if (!planes.bf16) UnpackChunk<3>(tile.encoded + planes.elements, chunk, high);
        Words4 stored{};
        for (uint32_t i = 0; i < kChunk; ++i) {
          const SplitElement split{shared.symbols[item * kChunk + i],
                                   static_cast<uint8_t>(low >> (8 * i)),
                                   static_cast<uint8_t>(high[i])};
          const uint32_t bits = planes.bf16 ? MergeBf16Element(split) : MergeFp16Element(split);
          stored.words[i / 2] |= bits << (i % 2 * 16);
        }
        StoreWord(stored, ChunkAt(tile, chunk));
      }
    });
    cta.Sync();
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static bool Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const Planes planes(tile);
    const uint32_t size = *tile.size();
    if (size == planes.elements * 2) {
      part.cta.Each([&](unsigned thread) {
        for (uint32_t chunk = thread; chunk < planes.elements / kChunk; chunk += kCtaThreads) {
          StoreWord(LoadWord<Words4>(tile.encoded + uint64_t{chunk} * 16), ChunkAt(tile, chunk));
        }
      });
      return true;
    }
    if (size > planes.elements * 2 || size < planes.bytes) return false;
    ReadTable(part.cta, tile, shared);
    if (shared.verdict[1] == 0) return false;
    const uint32_t head_bytes = planes.bytes + shared.verdict[1];
    WarpTables tables;
    tables.slots = shared.slots;
    DecodingLanes<Cta> decoding;
    part.cta.FirstWarp([&](auto& warp) {
      OpenLanes(warp, tile.encoded + head_bytes, size - head_bytes, planes.elements, decoding);
    });
    for (uint32_t at = 0; at < planes.elements; at += kPortionSymbols) {
      const uint32_t end = LeastOf(at + kPortionSymbols, planes.elements);
      part.cta.FirstWarp([&](auto& warp) {
        DecodeLanes(warp, tables, at, end, decoding, shared.symbols);
        const bool holds = end < planes.elements ? decoding.holds : CloseLanes(warp, decoding);
        warp.Each([&](unsigned thread) {
          if (thread == 0) shared.verdict[0] = holds;
        });
      });
      part.cta.Sync();
      if (shared.verdict[0] == 0) return false;
      Merge(part.cta, tile, shared, at, end - at);
    }
    return true;
  }
};

}  // namespace larder
