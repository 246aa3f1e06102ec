// FP8 tiles on a CTA: device twin of fp8_quantiser.cc; its header has shape, size, error and source.
// Oracle: fp8_ops_scalar.cc. Cost: rows without a transform are read twice when encoding, the second time from the L2 cache.
#pragma once

#include "kernels/codec/device/tile_coder.cuh"
#include "kernels/codec/fp8_scale.h"

namespace larder {

template <bool kE5M2>
struct Fp8Tile {
  static constexpr bool kNeedsRows = false;
  static constexpr bool kWritesChunks = true;

  struct Shared {};
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena&, const TileRun&) { return {}; }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool encode) {
    return encode ? run.shape.tokens : PortionRows(run.shape.head_dim);
  }

  // The largest magnitude that the quantiser sees.
  template <typename Cta>
  LARDER_HOST_DEVICE static float LargestOf(const EncodePart<Cta>& part) {
    if (part.tile.Has(kTransformCentre) && !part.tile.Has(kTransformRotate | kTransformHaar)) {
      return part.centred_max;
    }
    const uint32_t chunks = part.tile.dim() / kChunk;
    typename Cta::template PerThread<uint32_t> largest;
    const auto find = [&](const PortionReader& reader, uint32_t count) {
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * chunks; item += kCtaThreads) {
          float values[kChunk];
          if (!reader.Chunk(item / chunks, item % chunks, values)) part.bad[thread] = true;
          for (uint32_t i = 0; i < kChunk; ++i) {
            const uint32_t bits = BitsOf(MagnitudeOf(values[i]));
            largest[thread] = bits > largest[thread] ? bits : largest[thread];
          }
        }
      });
    };
    ForEachPortion(part, part.range.begin, part.range.end, find);
    return FloatOfBits(part.cta.Max(largest));
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared&) {
    const Tile& tile = part.tile;
    const float scale = Fp8ScaleOf(LargestOf(part), tile.run.params.variant);
    const float inverse = 1.0f / scale;
    const uint32_t dim = tile.dim(), chunks = dim / kChunk;
    part.cta.Each([&](unsigned thread) {
      if (thread != 0) return;
      if (!Fp8ScaleHolds(tile.run.params.transform, scale)) part.bad[thread] = true;
      StoreWord(Words4{{BitsOf(scale), 0, 0, 0}}, tile.codes());
    });
    uint8_t* codes = tile.codes() + kFp8ScaleBytes;
    const auto quantise = [&](const PortionReader& reader, uint32_t count) {
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * chunks; item += kCtaThreads) {
          const uint32_t row = item / chunks, chunk = item % chunks;
          float values[kChunk];
          reader.Chunk(row, chunk, values);
          uint64_t word = 0;
          for (uint32_t i = 0; i < kChunk; ++i) {
            const float scaled = values[i] * inverse;
            const uint8_t code = kE5M2 ? Fp8E5M2OfFloat(scaled) : Fp8E4M3OfFloat(scaled);
            word |= uint64_t{code} << (8 * i);
          }
          StoreWord(word, codes + uint64_t{reader.begin + row} * dim + chunk * kChunk);
        }
      });
    };
    ForEachPortion(part, part.range.begin, part.range.end, quantise);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared&) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), chunks = dim / kChunk;
    float scale = FloatOfBits(LoadWord<uint32_t>(tile.codes()));
    if (!Fp8ScaleHolds(tile.run.params.transform, scale)) scale = 0;
    const uint8_t* codes = tile.codes() + kFp8ScaleBytes;
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      const PortionWriter writer{tile, part.staging, at};
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * chunks; item += kCtaThreads) {
          const uint32_t row = item / chunks, chunk = item % chunks;
          const auto word = LoadWord<uint64_t>(codes + uint64_t{at + row} * dim + chunk * kChunk);
          float values[kChunk];
          for (uint32_t i = 0; i < kChunk; ++i) {
            const auto code = static_cast<uint8_t>(word >> (8 * i));
            values[i] = (kE5M2 ? FloatOfFp8E5M2(code) : FloatOfFp8E4M3(code)) * scale;
          }
          writer.Chunk(row, chunk, values);
        }
      });
      RestorePortion(part, at, count);
    }
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <typename Visitor>
auto VisitFp8(const TileRun& run, const Visitor& visit) {
  return (run.params.variant & kFp8E5M2) != 0 ? visit.template Visit<Fp8Tile<true>>()
                                              : visit.template Visit<Fp8Tile<false>>();
}

}  // namespace larder
