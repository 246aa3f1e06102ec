// The recursive polar transform on a CTA: device twin of polar_quantiser.cc; its header has shape, size, levels, error and source.
// A thread has a block of 16 values, and so all its radii, in registers. Oracle: polar_ops_scalar.cc.
#pragma once

#include "kernels/codec/device/chunk_codes.cuh"
#include "kernels/codec/device/tile_coder.cuh"
#include "kernels/codec/polar_book.h"

namespace larder {

// kBits: of level 1; the levels above have kHigherBits.
template <unsigned kBits>
struct PolarTile {
  static constexpr bool kNeedsRows = true;
  static constexpr unsigned kHigherBits = kBits == 5 ? 3 : 2;
  static constexpr uint32_t kLevels = kPolarLevels;
  static constexpr uint32_t kBlock = 16;

  struct Shared {
    AngleBook* books;  // by level
    uint8_t* codes;    // of a portion: level by level, [block][code]
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t elements = PortionRows(run.shape.head_dim) * run.shape.head_dim;
    return {arena.Take<AngleBook>(kLevels), arena.Take<uint8_t>(elements)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return PortionRows(run.shape.head_dim);
  }

  static constexpr unsigned BitsAt(uint32_t level) { return level == 0 ? kBits : kHigherBits; }
  LARDER_HOST_DEVICE static uint64_t WholeWords(uint64_t codes) { return (codes + 31) / 32 * 32; }

  // Where a level's codes begin in the tile's codes.
  LARDER_HOST_DEVICE static uint64_t LevelBegin(const Tile& tile, uint32_t level) {
    const uint64_t elements = uint64_t{tile.tokens()} * tile.dim();
    uint64_t at = (elements / kBlock * 2 + 15) / 16 * 16;
    for (uint32_t i = 0; i < level; ++i) {
      at += WholeWords(elements >> (i + 1)) * (i == 0 ? kBits : kHigherBits) / 8;
    }
    return at;
  }
  // Where the codes of a level stand in shared.codes, for a portion of `elements`.
  LARDER_HOST_DEVICE static uint32_t StagedAt(uint32_t elements, uint32_t level) {
    return elements - (elements >> level);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void CopyBooks(Cta& cta, const Tile& tile, const Shared& shared) {
    cta.Each([&](unsigned thread) {
      if (thread < kLevels) shared.books[thread] = tile.run.polar[thread];
    });
    cta.Sync();
  }

  // A block's values become, level by level, the radii of its pairs; values[0] is the last one.
  LARDER_HOST_DEVICE static void SplitBlock(const Shared& shared, uint32_t block,
                                            uint32_t elements, float* values) {
    LARDER_UNROLL
    for (uint32_t level = 0; level < kLevels; ++level) {
      const AngleBook& book = shared.books[level];
      const uint32_t pairs = (kBlock / 2) >> level;
      uint8_t* codes = shared.codes + StagedAt(elements, level) + block * pairs;
      LARDER_UNROLL
      for (uint32_t i = 0; i < pairs; ++i) {
        const float x = values[2 * i], y = values[2 * i + 1];
        codes[i] = PolarCodeOf(book, x, y);
        values[i] = PolarRadiusOf(x, y);
      }
    }
  }

  template <unsigned kCodeBits, typename Cta>
  LARDER_HOST_DEVICE static void PackLevel(Cta& cta, const Shared& shared, uint32_t elements,
                                           uint32_t level, uint64_t first, uint8_t* packed) {
    const uint32_t codes = elements >> (level + 1);
    const auto chunks = static_cast<uint32_t>(WholeWords(codes) / kChunk);
    cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < chunks; item += kCtaThreads) {
        uint32_t chunk[kChunk];
        for (uint32_t i = 0; i < kChunk; ++i) {
          const uint32_t at = item * kChunk + i;  // beyond the codes: zeros up to a whole word
          chunk[i] = at < codes ? shared.codes[StagedAt(elements, level) + at] : 0;
        }
        PackChunk<kCodeBits>(chunk, first / kChunk + item, packed);
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), row_blocks = dim / kBlock;
    CopyBooks(part.cta, tile, shared);
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      const uint32_t elements = count * dim;
      part.cta.Each([&](unsigned thread) {
        for (uint32_t block = thread; block < count * row_blocks; block += kCtaThreads) {
          float values[kBlock];
          const uint32_t row = block / row_blocks, chunk = block % row_blocks * 2;
          reader.Chunk(row, chunk, values);
          reader.Chunk(row, chunk + 1, values + kChunk);
          SplitBlock(shared, block, elements, values);
          if (!(values[0] <= kFp16Max)) part.bad[thread] = true;
          StoreWord(Fp16OfFloat(values[0]),
                    tile.codes() + (uint64_t{reader.begin} * row_blocks + block) * 2);
        }
      });
      part.cta.Sync();
      for (uint32_t level = 0; level < kLevels; ++level) {
        uint8_t* packed = tile.codes() + LevelBegin(tile, level);
        const uint64_t first = uint64_t{reader.begin} * dim >> (level + 1);
        if (level == 0) {
          PackLevel<kBits>(part.cta, shared, elements, level, first, packed);
        } else {
          PackLevel<kHigherBits>(part.cta, shared, elements, level, first, packed);
        }
      }
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
    part.cta.Each([&](unsigned thread) {
      const uint64_t at = uint64_t{tile.tokens()} * row_blocks * 2 + thread;
      if (part.range.begin == 0 && at < LevelBegin(tile, 0)) tile.codes()[at] = 0;
    });
  }

  // Code `at` of a level: a bit per plane, or whole in a byte.
  template <unsigned kCodeBits>
  LARDER_HOST_DEVICE static uint32_t CodeAt(const uint8_t* packed, uint64_t at) {
    if constexpr (kCodeBits == 2 || kCodeBits == 4) {
      return packed[at * kCodeBits / 8] >> (at * kCodeBits % 8) & ((1u << kCodeBits) - 1);
    } else {
      uint32_t code = 0;
      for (uint32_t plane = 0; plane < kCodeBits; ++plane) {
        const uint64_t byte = (at / 32 * kCodeBits + plane) * 4 + at % 32 / 8;
        code |= (packed[byte] >> (at % 8) & 1u) << plane;
      }
      return code;
    }
  }

  // Values of block `block` of the tile, from the radius of its last level down.
  LARDER_HOST_DEVICE static void JoinBlock(const Tile& tile, const Shared& shared, uint64_t block,
                                           float* values) {
    values[0] = FloatOfFp16(LoadWord<uint16_t>(tile.codes() + block * 2));
    LARDER_UNROLL
    for (uint32_t level = kLevels; level-- > 0;) {
      const AngleBook& book = shared.books[level];
      const uint8_t* packed = tile.codes() + LevelBegin(tile, level);
      const uint32_t pairs = (kBlock / 2) >> level;
      LARDER_UNROLL
      for (uint32_t i = pairs; i-- > 0;) {  // from the last on: a pair goes where its radius is no more
        const uint64_t at = block * pairs + i;
        const uint32_t code =
            level == 0 ? CodeAt<kBits>(packed, at) : CodeAt<kHigherBits>(packed, at);
        PolarPairOf(book, values[i], code, &values[2 * i], &values[2 * i + 1]);
      }
    }
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), row_blocks = dim / kBlock;
    CopyBooks(part.cta, tile, shared);
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      part.cta.Each([&](unsigned thread) {
        for (uint32_t block = thread; block < count * row_blocks; block += kCtaThreads) {
          float values[kBlock];
          JoinBlock(tile, shared, uint64_t{at} * row_blocks + block, values);
          float* out = part.staging.Row(block / row_blocks) + block % row_blocks * kBlock;
          for (uint32_t i = 0; i < kBlock; ++i) out[i] = values[i];
        }
      });
      RestorePortion(part, at, count);
    }
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <typename Visitor>
auto VisitPolar(const TileRun& run, const Visitor& visit) {
  switch (run.params.bits) {
    case 3:
      return visit.template Visit<PolarTile<3>>();
    case 4:
      return visit.template Visit<PolarTile<4>>();
    default:
      return visit.template Visit<PolarTile<5>>();
  }
}

}  // namespace larder
