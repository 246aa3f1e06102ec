// The rows of a tile in a CTA: loading them as fp32 with the stages before the quantiser, and storing them back.
//
// A portion is up to PortionRows() rows in shared memory, [row][RowPitch(D)] fp32. The arithmetic is tile_transform.h's,
// operation for operation; its scalar form is the oracle. A chunk is 8 consecutive elements of a row, 16 bytes in device
// memory. All functions are called by every thread of the CTA; those that take a Cta say who synchronises.
#pragma once

#include <cstdlib>
#include <cstring>

#include "kernels/codec/device/cta.cuh"
#include "kernels/codec/device/tile_run.h"
#include "kernels/codec/exact_math.h"
#include "kernels/codec/seeded_word.h"

namespace larder {

inline constexpr uint32_t kChunk = 8;

#if !defined(__CUDA_ARCH__)
// A device faults on an address that is not aligned; so does its emulation.
template <typename Word>
void MustBeAligned(const uint8_t* at) {
  if (reinterpret_cast<uintptr_t>(at) % sizeof(Word) != 0) std::abort();
}
#endif

// `Word` at an address that is a multiple of its size.
template <typename Word>
LARDER_HOST_DEVICE Word LoadWord(const uint8_t* at) {
#if defined(__CUDA_ARCH__)
  return *reinterpret_cast<const Word*>(at);
#else
  MustBeAligned<Word>(at);
  Word word;
  std::memcpy(&word, at, sizeof(word));
  return word;
#endif
}
template <typename Word>
LARDER_HOST_DEVICE void StoreWord(Word word, uint8_t* at) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<Word*>(at) = word;
#else
  MustBeAligned<Word>(at);
  std::memcpy(at, &word, sizeof(word));
#endif
}

struct alignas(16) Words4 {
  uint32_t words[4];
};

// A chunk in shared memory, by words of 16 bytes: of a warp's threads on consecutive chunks two meet in a bank, by single
// floats eight would.
LARDER_HOST_DEVICE inline void LoadStaged(const float* at, float* out) {
  for (uint32_t half = 0; half < 2; ++half) {
    const auto word = LoadWord<Words4>(reinterpret_cast<const uint8_t*>(at + half * 4));
    for (uint32_t i = 0; i < 4; ++i) out[half * 4 + i] = FloatOfBits(word.words[i]);
  }
}
LARDER_HOST_DEVICE inline void StoreStaged(const float* values, float* at) {
  for (uint32_t half = 0; half < 2; ++half) {
    Words4 word;
    for (uint32_t i = 0; i < 4; ++i) word.words[i] = BitsOf(values[half * 4 + i]);
    StoreWord(word, reinterpret_cast<uint8_t*>(at + half * 4));
  }
}

// One tile of a run, as a CTA sees it.
struct Tile {
  LARDER_HOST_DEVICE Tile(const TileRun& of, uint32_t block_of, uint32_t stream_of,
                          uint32_t head_of)
      : run(of),
        block(block_of),
        stream(stream_of),
        head(head_of),
        rows(of.rows.Tile(block_of, stream_of, head_of)),
        encoded(Encoded(of, block_of, stream_of, head_of)) {}

  // Null when the run has no such tile.
  LARDER_HOST_DEVICE static uint8_t* Encoded(const TileRun& run, uint32_t block, uint32_t stream,
                                             uint32_t head) {
    const RunTiles& tiles = run.tiles;
    uint8_t* base = tiles.base + block * tiles.block_stride;
    if (tiles.places == nullptr) {
      return base + stream * tiles.stream_stride + head * tiles.head_stride;
    }
    const uint64_t place = tiles.places[run.TileIndex(block, stream, head)];
    return place == kNoTile ? nullptr : base + place;
  }

  LARDER_HOST_DEVICE uint8_t* Row(uint32_t row) const { return run.rows.Row(rows, block, row); }
  LARDER_HOST_DEVICE uint32_t dim() const { return run.shape.head_dim; }
  // Of the rotation.
  LARDER_HOST_DEVICE uint64_t seed() const {
    return SeededWord(run.params.seed, uint64_t{run.layer_begin} + stream);
  }
  LARDER_HOST_DEVICE uint32_t tokens() const { return run.shape.tokens; }
  LARDER_HOST_DEVICE bool Has(uint8_t transform) const {
    return (run.params.transform & transform) != 0;
  }
  // Pairs of a row that the rotation turns; 0 without kTransformUnrope.
  LARDER_HOST_DEVICE uint32_t pairs() const {
    return Has(kTransformUnrope) ? run.params.rope_rotary_dim / 2u : 0;
  }
  LARDER_HOST_DEVICE bool interleaved() const { return run.params.rope_pairing == 2; }
  LARDER_HOST_DEVICE uint32_t mean_bytes() const { return Has(kTransformCentre) ? dim() * 2 : 0; }
  // Of tiles whose size varies.
  LARDER_HOST_DEVICE uint32_t* size() const {
    return run.sizes + run.TileIndex(block, stream, head);
  }
  LARDER_HOST_DEVICE uint32_t* refused() const {
    return run.refused + uint64_t{block} * run.streams + stream;
  }
  LARDER_HOST_DEVICE uint8_t* scratch() const {
    return run.scratch + run.TileIndex(block, stream, head) * run.scratch_bytes;
  }
  // What the quantiser writes, behind the mean.
  LARDER_HOST_DEVICE uint8_t* codes() const { return encoded + mean_bytes(); }

  const TileRun& run;
  const uint32_t block;
  const uint32_t stream;
  const uint32_t head;
  uint8_t* const rows;
  uint8_t* const encoded;
};

// Shared memory of the stages around the quantiser.
struct Staging {
  Staging() = default;
  LARDER_HOST_DEVICE Staging(SharedArena& arena, const TileRun& run, bool with_rows) {
    const uint32_t dim = run.shape.head_dim;
    pitch = RowPitch(dim);
    if (with_rows) rows = arena.Take<float>(PortionRows(dim) * pitch);
    if ((run.params.transform & kTransformCentre) != 0) mean = arena.Take<float>(dim);
    if ((run.params.transform & kTransformRotate) != 0) factors = arena.Take<float>(dim);
    if ((run.params.transform & kTransformHaar) != 0) {
      spare = arena.Take<float>(PortionRows(dim) * dim);
    }
  }
  LARDER_HOST_DEVICE float* Row(uint32_t row) const { return rows + row * pitch; }

  float* rows = nullptr;  // null: the quantiser reads rows where they stand
  float* mean = nullptr;  // as stored
  float* factors = nullptr;
  float* spare = nullptr;  // of the dense rotation: a portion without gaps
  uint32_t pitch = 0;
};

// Two chunks of a row that a thread handles together: the two halves of eight RoPE pairs, or one of each half of the rest. The
// next thread's are the next ones.
struct ChunkDuo {
  LARDER_HOST_DEVICE ChunkDuo(const Tile& tile, uint32_t item) {
    const uint32_t halves = tile.interleaved() ? 0 : tile.pairs() / kChunk;
    turns = item < halves;
    const uint32_t rest = tile.dim() / (2 * kChunk) - halves;
    first = turns ? item : item + halves;
    second = first + (turns ? halves : rest);
  }
  uint32_t first;
  uint32_t second;
  bool turns;  // as pairs of the two halves
};

// A chunk of the source as fp32; false when a value is not finite.
LARDER_HOST_DEVICE inline bool WidenChunk(const uint8_t* at, Dtype dtype, float* out) {
  const Words4 loaded = LoadWord<Words4>(at);
  bool finite = true;
  for (uint32_t i = 0; i < kChunk; ++i) {
    const auto bits = static_cast<uint16_t>(loaded.words[i / 2] >> (i % 2 * 16));
    const bool bf16 = dtype == Dtype::kBf16;
    finite = finite && (bits & 0x7FFFu) < (bf16 ? kBf16Infinity : kFp16Infinity);
    out[i] = bf16 ? FloatOfBf16(bits) : FloatOfFp16(bits);
  }
  return finite;
}

LARDER_HOST_DEVICE inline void NarrowChunk(const float* values, Dtype dtype, uint8_t* at) {
  Words4 stored{};
  for (uint32_t i = 0; i < kChunk; ++i) {
    const uint32_t bits =
        dtype == Dtype::kBf16 ? Bf16OfFloat(values[i]) : Fp16OfFloat(values[i]);
    stored.words[i / 2] |= bits << (i % 2 * 16);
  }
  StoreWord(stored, at);
}

// Turns the RoPE pairs of a duo of row `row`; `sign` is -1 to turn back.
LARDER_HOST_DEVICE inline void TurnDuo(const Tile& tile, uint32_t row, const ChunkDuo& duo,
                                       float sign, float* first, float* second) {
  const uint32_t pairs = tile.pairs();
  const float* cosines = tile.run.tables.cosines + uint64_t{row} * pairs;
  const float* sines = tile.run.tables.sines + uint64_t{row} * pairs;
  const auto turn = [&](float& x, float& y, uint32_t pair) {
    const float cosine = cosines[pair], sine = sign * sines[pair];
    const float turned = x * cosine - y * sine;
    y = x * sine + y * cosine;
    x = turned;
  };
  if (duo.turns) {
    for (uint32_t i = 0; i < kChunk; ++i) turn(first[i], second[i], duo.first * kChunk + i);
  } else if (tile.interleaved()) {
    for (uint32_t i = 0; i < kChunk / 2; ++i) {
      if (duo.first * kChunk < 2 * pairs) {
        turn(first[2 * i], first[2 * i + 1], duo.first * kChunk / 2 + i);
      }
      if (duo.second * kChunk < 2 * pairs) {
        turn(second[2 * i], second[2 * i + 1], duo.second * kChunk / 2 + i);
      }
    }
  }
}

// Elements that the rotation turns times the attention factor, or its inverse.
LARDER_HOST_DEVICE inline void ScaleTurned(const Tile& tile, uint32_t chunk, float factor,
                                           float* values) {
  if (factor == 1.0f || chunk * kChunk >= 2 * tile.pairs()) return;
  for (uint32_t i = 0; i < kChunk; ++i) values[i] *= factor;
}

// 1 or -1 per rotated channel, times 1 / sqrt(part x D) on the way back. The caller synchronises.
template <typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE void PrepareRotation(Cta& cta, uint64_t seed, uint32_t dim,
                                                        bool back, float* factors) {
  cta.Each([&](unsigned thread) {
    for (uint32_t i = thread; i < dim; i += kCtaThreads) {
      const auto signs = static_cast<uint32_t>(SeededWord(seed, i / 32));
      const float sign = ((signs >> (i % 32)) & 1) != 0 ? -1.0f : 1.0f;
      uint32_t part = 1, begin = 0;
      while (part * 2 <= dim) part *= 2;
      while (i >= begin + part) {
        begin += part;
        while (part > dim - begin) part /= 2;
      }
      const float length = SqrtOf(static_cast<float>(part) * static_cast<float>(dim));
      factors[i] = back ? sign * (1.0f / length) : sign;
    }
  });
}

// Rows [begin, begin + count) of the tile into staging.rows: turned back; minus the mean unless `mean` is null; permuted and
// with their signs when `rotate`. Sets bad[] where a value is not finite. The caller synchronises before and after.
template <typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE void LoadPortion(
    Cta& cta, const Tile& tile, const Staging& staging, const float* mean, bool rotate,
    uint32_t begin, uint32_t count, typename Cta::template PerThread<bool>& bad) {
  const uint32_t duos = tile.dim() / (2 * kChunk);
  const float unscale = 1.0f / tile.run.params.rope_attention_factor;
  const uint16_t* places = tile.run.tables.places;
  if (places != nullptr) places += uint64_t{tile.stream} * tile.dim();
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * duos; item += kCtaThreads) {
      const uint32_t row = item / duos;
      const ChunkDuo duo(tile, item % duos);
      const uint8_t* source = tile.Row(begin + row);
      float values[2][kChunk];
      const bool first = WidenChunk(source + duo.first * 16, tile.run.dtype, values[0]);
      const bool second = WidenChunk(source + duo.second * 16, tile.run.dtype, values[1]);
      bad[thread] = bad[thread] || !first || !second;
      if (tile.pairs() > 0) TurnDuo(tile, begin + row, duo, -1.0f, values[0], values[1]);
      for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t chunk = half == 0 ? duo.first : duo.second;
        float* own = values[half];
        ScaleTurned(tile, chunk, unscale, own);
        float beside[kChunk];
        if (mean != nullptr) {
          LoadStaged(mean + chunk * kChunk, beside);
          for (uint32_t i = 0; i < kChunk; ++i) own[i] = own[i] - beside[i];
        }
        float* out = staging.Row(row);
        if (rotate && places != nullptr) {
          for (uint32_t i = 0; i < kChunk; ++i) {
            const uint32_t place = places[chunk * kChunk + i];
            out[place] = staging.factors[place] * own[i];
          }
          continue;
        }
        if (rotate) {
          LoadStaged(staging.factors + chunk * kChunk, beside);
          for (uint32_t i = 0; i < kChunk; ++i) own[i] = beside[i] * own[i];
        }
        StoreStaged(own, out + chunk * kChunk);
      }
    }
  });
}

// Undoes the stages for the rows in staging.rows, as they are after RotateBack, and stores them as rows [begin, begin +
// count) of the tile. The caller synchronises before.
template <typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE void StorePortion(Cta& cta, const Tile& tile,
                                                     const Staging& staging, uint32_t begin,
                                                     uint32_t count) {
  const uint32_t duos = tile.dim() / (2 * kChunk);
  const bool rotate = staging.factors != nullptr;
  const uint16_t* places = tile.run.tables.places;
  if (places != nullptr) places += uint64_t{tile.stream} * tile.dim();
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * duos; item += kCtaThreads) {
      const uint32_t row = item / duos;
      const ChunkDuo duo(tile, item % duos);
      float values[2][kChunk];
      for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t chunk = half == 0 ? duo.first : duo.second;
        const float* in = staging.Row(row);
        float* own = values[half];
        float beside[kChunk];
        if (rotate && places != nullptr) {
          for (uint32_t i = 0; i < kChunk; ++i) {
            const uint32_t place = places[chunk * kChunk + i];
            own[i] = in[place] * staging.factors[place];
          }
        } else {
          LoadStaged(in + chunk * kChunk, own);
          if (rotate) {
            LoadStaged(staging.factors + chunk * kChunk, beside);
            for (uint32_t i = 0; i < kChunk; ++i) own[i] = own[i] * beside[i];
          }
        }
        if (staging.mean != nullptr) {
          LoadStaged(staging.mean + chunk * kChunk, beside);
          for (uint32_t i = 0; i < kChunk; ++i) own[i] = own[i] + beside[i];
        }
        ScaleTurned(tile, chunk, tile.run.params.rope_attention_factor, own);
      }
      if (tile.pairs() > 0) TurnDuo(tile, begin + row, duo, 1.0f, values[0], values[1]);
      uint8_t* target = tile.Row(begin + row);
      NarrowChunk(values[0], tile.run.dtype, target + duo.first * 16);
      NarrowChunk(values[1], tile.run.dtype, target + duo.second * 16);
    }
  });
}

}  // namespace larder
