// One tile, or a part of one, coded by one CTA: the frame around the quantisers.
//
// A quantiser is a struct of static templates (fp8_tile.cuh is the shortest):
//   kNeedsRows              whether it reads rows from shared memory only, transformed or not
//   PartRows(run, encode)   rows that one CTA takes: a multiple of them from row 0 on; all of the tile's where the codes
//                           depend on every row
//   TakeShared(arena, run)  its shared memory, an object that Encode and Decode get
//   Encode(part, shared), Decode(part, shared)
//   kVaries, only of codes whose size varies: Encode then writes the tile's size and the zeros behind it, and Decode
//                           returns whether the tile is well-formed
//   kMovesBits, only where no row passes through shared memory as fp32
//   kWritesChunks, only where Decode hands its values to a PortionWriter
// EncodeTile and DecodeTile are the bodies of the kernels in tile_kernels.cu and of the host emulation in tests.
#pragma once

#include "kernels/codec/device/matrix_rows.cuh"
#include "kernels/codec/device/tile_rotation.cuh"

namespace larder {

// What Encode and Decode work on: rows [begin, end) of the tile.
struct PartRange {
  uint32_t begin;
  uint32_t end;
};

// The rows of a portion as the quantiser sees them: in shared memory, or where they stand when nothing changes them.
struct PortionReader {
  const Tile& tile;
  const Staging& staging;
  uint32_t begin;  // the portion's first row

  // Elements 8 chunk to 8 chunk + 7 of row begin + row; false when one is not finite.
  LARDER_HOST_DEVICE bool Chunk(uint32_t row, uint32_t chunk, float* out) const {
    if (staging.rows == nullptr) {
      return WidenChunk(tile.Row(begin + row) + chunk * 16, tile.run.dtype, out);
    }
    LoadStaged(staging.Row(row) + chunk * kChunk, out);
    return true;
  }
  LARDER_HOST_DEVICE bool Element(uint32_t row, uint32_t channel, float* out) const {
    if (staging.rows != nullptr) {
      *out = staging.Row(row)[channel];
      return true;
    }
    const auto bits = LoadWord<uint16_t>(tile.Row(begin + row) + channel * 2);
    const bool bf16 = tile.run.dtype == Dtype::kBf16;
    *out = bf16 ? FloatOfBf16(bits) : FloatOfFp16(bits);
    return (bits & 0x7FFFu) < (bf16 ? kBf16Infinity : kFp16Infinity);
  }
};

// Where the quantiser leaves a portion's rows: in shared memory, or at once where they belong when nothing changes them.
struct PortionWriter {
  const Tile& tile;
  const Staging& staging;
  uint32_t begin;  // the portion's first row

  // Elements 8 chunk to 8 chunk + 7 of row begin + row.
  LARDER_HOST_DEVICE void Chunk(uint32_t row, uint32_t chunk, const float* values) const {
    if (staging.rows == nullptr) {
      NarrowChunk(values, tile.run.dtype, tile.Row(begin + row) + chunk * 16);
    } else {
      StoreStaged(values, staging.Row(row) + chunk * kChunk);
    }
  }
};

// Everything an encoder's phases need. `centred_max` is the largest magnitude of the centred rows, with kTransformCentre.
template <typename Cta>
struct EncodePart {
  Cta& cta;
  const Tile& tile;
  const Staging& staging;
  PartRange range;
  float centred_max;
  typename Cta::template PerThread<bool>& bad;
};

template <typename Cta>
struct DecodePart {
  Cta& cta;
  const Tile& tile;
  const Staging& staging;
  PartRange range;
};

LARDER_HOST_DEVICE inline uint32_t LeastOf(uint32_t a, uint32_t b) { return a < b ? a : b; }

// Calls body(PortionReader, count) for rows [begin, end), transformed, a portion at a time.
template <typename Cta, typename Body>
LARDER_HOST_DEVICE void ForEachPortion(const EncodePart<Cta>& part, uint32_t begin, uint32_t end,
                                       Body body) {
  const uint32_t dim = part.tile.dim();
  const bool rotate = part.tile.Has(kTransformRotate);
  for (uint32_t at = begin; at < end; at += PortionRows(dim)) {
    const uint32_t count = LeastOf(PortionRows(dim), end - at);
    if (part.staging.rows != nullptr) {
      part.cta.Sync();  // the last portion has been read
      LoadPortion(part.cta, part.tile, part.staging, part.staging.mean, rotate, at, count,
                  part.bad);
      if (rotate) {
        RotatePortion(part.cta, part.staging, dim, count);
      } else if (part.tile.Has(kTransformHaar)) {
        MultiplyPortion(part.cta, part.staging, part.tile.run.tables.rotation, dim, count);
      } else {
        part.cta.Sync();
      }
    }
    body(PortionReader{part.tile, part.staging, at}, count);
  }
}

// Rows [begin, begin + count) from staging.rows, as the quantiser left them, to where they belong. Synchronises at the end.
template <typename Cta>
LARDER_HOST_DEVICE void RestorePortion(const DecodePart<Cta>& part, uint32_t begin,
                                       uint32_t count) {
  if (part.staging.rows == nullptr) return part.cta.Sync();
  if (part.staging.factors != nullptr) {
    Hadamard(part.cta, part.staging, part.tile.dim(), count);
  } else if (part.tile.Has(kTransformHaar)) {
    MultiplyPortion(part.cta, part.staging, part.tile.run.tables.rotation_back, part.tile.dim(),
                    count);
  } else {
    part.cta.Sync();
  }
  StorePortion(part.cta, part.tile, part.staging, begin, count);
  part.cta.Sync();
}

// Tile parts of a run, one CTA each; CTA `unit` of block `block` codes part unit % parts of tile unit / parts.
template <typename Quantiser>
LARDER_HOST_DEVICE uint32_t PartRowsOf(const TileRun& run, bool encode) {
  const bool whole = encode && (run.params.transform & kTransformCentre) != 0;
  return whole ? run.shape.tokens : LeastOf(Quantiser::PartRows(run, encode), run.shape.tokens);
}

template <typename Quantiser>
LARDER_HOST_DEVICE uint32_t PartsOf(const TileRun& run, bool encode) {
  const uint32_t rows = PartRowsOf<Quantiser>(run, encode);
  return (run.shape.tokens + rows - 1) / rows;
}

template <typename Quantiser>
LARDER_HOST_DEVICE uint32_t UnitsOf(const TileRun& run, bool encode) {
  return run.streams * run.heads * PartsOf<Quantiser>(run, encode);
}

template <typename Quantiser>
inline constexpr bool kSizeVaries = requires { Quantiser::kVaries; };

// Whether rows pass through shared memory.
template <typename Quantiser>
LARDER_HOST_DEVICE bool NeedsRows(const TileRun& run, bool encode) {
  if constexpr (requires { Quantiser::kMovesBits; }) return false;
  if (run.params.transform != 0) return true;
  return encode ? Quantiser::kNeedsRows : !(requires { Quantiser::kWritesChunks; });
}

// Bytes of shared memory of a CTA.
template <typename Quantiser>
LARDER_HOST_DEVICE uint32_t SharedBytesOf(const TileRun& run, bool encode) {
  SharedArena arena(nullptr);
  Staging(arena, run, NeedsRows<Quantiser>(run, encode));
  Quantiser::TakeShared(arena, run);
  return arena.used();
}

template <typename Quantiser, typename Cta>
LARDER_HOST_DEVICE void EncodeTile(Cta& cta, const TileRun& run, uint32_t unit, uint32_t block,
                                   uint8_t* shared) {
  const uint32_t parts = PartsOf<Quantiser>(run, /*encode=*/true);
  const uint32_t rows = PartRowsOf<Quantiser>(run, /*encode=*/true);
  const Tile tile(run, block, unit / parts / run.heads, unit / parts % run.heads);
  const uint32_t begin = unit % parts * rows;
  const PartRange range{begin, LeastOf(begin + rows, run.shape.tokens)};
  SharedArena arena(shared);
  const Staging staging(arena, run, NeedsRows<Quantiser>(run, /*encode=*/true));
  const auto scratch = Quantiser::TakeShared(arena, run);
  if (staging.factors != nullptr) {
    PrepareRotation(cta, tile.seed(), tile.dim(), /*back=*/false, staging.factors);
  }
  typename Cta::template PerThread<bool> bad;
  float centred_max = 0;
  if (staging.mean != nullptr) centred_max = CentreTile(cta, tile, staging, bad);
  cta.Sync();
  const EncodePart<Cta> part{cta, tile, staging, range, centred_max, bad};
  Quantiser::Encode(part, scratch);
  const bool refused = cta.Any(bad);
  cta.Each([&](unsigned thread) {
    if (thread == 0 && refused) *tile.refused() = 1;
    if constexpr (kSizeVaries<Quantiser>) return;
    // Tiles are followed by zeros up to a multiple of 16.
    if (range.end == run.shape.tokens && thread < 16 - (run.tile_bytes - 1) % 16 - 1) {
      tile.encoded[run.tile_bytes + thread] = 0;
    }
  });
}

template <typename Quantiser, typename Cta>
LARDER_HOST_DEVICE void DecodeTile(Cta& cta, const TileRun& run, uint32_t unit, uint32_t block,
                                   uint8_t* shared) {
  const uint32_t parts = PartsOf<Quantiser>(run, /*encode=*/false);
  const uint32_t rows = PartRowsOf<Quantiser>(run, /*encode=*/false);
  const Tile tile(run, block, unit / parts / run.heads, unit / parts % run.heads);
  if (tile.encoded == nullptr) {
    if constexpr (kSizeVaries<Quantiser>) {
      cta.Each([&](unsigned thread) {
        if (thread == 0 && *tile.size() == kNoTileBytes) *tile.refused() = 1;
      });
    }
    return;
  }
  const uint32_t begin = unit % parts * rows;
  const PartRange range{begin, LeastOf(begin + rows, run.shape.tokens)};
  SharedArena arena(shared);
  const Staging staging(arena, run, NeedsRows<Quantiser>(run, /*encode=*/false));
  const auto scratch = Quantiser::TakeShared(arena, run);
  if (staging.factors != nullptr) {
    PrepareRotation(cta, tile.seed(), tile.dim(), /*back=*/true, staging.factors);
  }
  if (staging.mean != nullptr) {
    cta.Each([&](unsigned thread) {
      for (uint32_t i = thread; i < tile.dim(); i += kCtaThreads) {
        staging.mean[i] = FloatOfFp16(LoadWord<uint16_t>(tile.encoded + i * 2));
      }
    });
  }
  cta.Sync();
  const DecodePart<Cta> part{cta, tile, staging, range};
  if constexpr (kSizeVaries<Quantiser>) {
    const bool holds = Quantiser::Decode(part, scratch);
    cta.Each([&](unsigned thread) {
      if (thread == 0 && !holds) *tile.refused() = 1;
    });
  } else {
    Quantiser::Decode(part, scratch);
  }
}

}  // namespace larder
