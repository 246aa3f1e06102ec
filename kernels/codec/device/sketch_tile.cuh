// Sketches on a CTA: device twins of qjl_quantiser.cc and turbo_prod_quantiser.cc; their headers have shape, size, error and
// source. Oracles: sketch_ops_scalar.cc, codebook_ops_scalar.cc.
#pragma once

#include "kernels/codec/device/turbo_tile.cuh"

namespace larder {

inline constexpr uint32_t kSketchRows = kCtaThreads / 16;  // that are coded together

// The sign bits of rows times the sketch's matrix, of up to kSketchRows rows from `base` of the portion, to `out`, m bits a row.
// `signs` holds kSketchRows x m. Synchronises.
template <typename Cta>
LARDER_HOST_DEVICE void StoreSigns(const EncodePart<Cta>& part, uint8_t* signs, uint32_t size,
                                   uint32_t base, uint32_t count, uint8_t* out) {
  const uint32_t dim = part.tile.dim(), rows = LeastOf(kSketchRows, count - base);
  const float* matrix = part.tile.run.tables.sketch;
  part.cta.Sync();
  part.cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < rows * size; item += kCtaThreads) {
      const float* row = part.staging.Row(base + item / size);
      const float sum =
          MatrixDot(matrix, dim, size, item % size, [&](uint32_t i) { return row[i]; });
      signs[item] = static_cast<uint8_t>(~BitsOf(sum) >> 31);
    }
  });
  part.cta.Sync();
  part.cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < rows * size / 8; item += kCtaThreads) {
      uint32_t byte = 0;
      for (uint32_t i = 0; i < 8; ++i) byte |= uint32_t{signs[item * 8 + i]} << i;
      out[item] = static_cast<uint8_t>(byte);
    }
  });
}

// Element `channel` of a row's signs, 1 and -1, times the sketch's matrix.
LARDER_HOST_DEVICE inline float SignsDot(const TileRun& run, const uint8_t* bits, uint32_t size,
                                         uint32_t channel) {
  return MatrixDot(run.tables.sketch_back, size, run.shape.head_dim, channel, [&](uint32_t i) {
    return ((bits[i / 8] >> (i % 8)) & 1) != 0 ? 1.0f : -1.0f;
  });
}

// fp16(value) as number `index` at `out`, and what it stands for.
template <typename Cta>
LARDER_HOST_DEVICE float StoreNorm(const EncodePart<Cta>& part, unsigned thread, float value,
                                   uint8_t* out, uint32_t index) {
  if (!(value <= kFp16Max)) part.bad[thread] = true;
  const uint16_t stored = Fp16OfFloat(value);
  StoreWord(stored, out + uint64_t{index} * 2);
  return FloatOfFp16(stored);
}

struct QjlTile {
  static constexpr bool kNeedsRows = true;
  static constexpr float kRootHalfPi = 1.25331414f;

  struct Shared {
    uint8_t* signs;
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    return {arena.Take<uint8_t>(kSketchRows * run.params.boosted)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return PortionRows(run.shape.head_dim);
  }
  LARDER_HOST_DEVICE static uint32_t NormBytes(uint32_t tokens) {
    return (tokens * 2 + 15) / 16 * 16;
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), size = tile.run.params.boosted, tokens = tile.tokens();
    part.cta.Each([&](unsigned thread) {
      const uint32_t at = tokens * 2 + thread;
      if (part.range.begin == 0 && at < NormBytes(tokens)) tile.codes()[at] = 0;
    });
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      for (uint32_t base = 0; base < count; base += kSketchRows) {
        typename Cta::template PerThread<float> energy;
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
          if (row >= count || thread % 16 != 0) return;
          StoreNorm(part, thread, SqrtOf(energy[thread]), tile.codes(), reader.begin + row);
        });
        uint8_t* out = tile.codes() + NormBytes(tokens) + uint64_t{reader.begin + base} * size / 8;
        StoreSigns(part, shared.signs, size, base, count, out);
      }
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared&) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), size = tile.run.params.boosted;
    const uint8_t* sketches = tile.codes() + NormBytes(tile.tokens());
    const float factor = kRootHalfPi / static_cast<float>(size);
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * dim; item += kCtaThreads) {
          const uint32_t row = at + item / dim;
          const float norm = FloatOfFp16(LoadWord<uint16_t>(tile.codes() + uint64_t{row} * 2));
          const uint8_t* bits = sketches + uint64_t{row} * size / 8;
          part.staging.Row(item / dim)[item % dim] =
              SignsDot(tile.run, bits, size, item % dim) * (norm * factor);
        }
      });
      RestorePortion(part, at, count);
    }
  }
};

// kBits of the first stage: one less than the parameter.
template <unsigned kBits>
struct TurboProdTile {
  static constexpr bool kNeedsRows = true;
  static constexpr float kHalfPi = 1.57079637f;

  struct Shared {
    float* values;
    uint8_t* codes;
    uint8_t* signs;
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t dim = run.shape.head_dim;
    const uint32_t codes = PortionRows(dim) * TurboTile<kBits>::RowCodes(dim);
    return {arena.Take<float>(16), arena.Take<uint8_t>(codes),
            arena.Take<uint8_t>(kSketchRows * dim)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return PortionRows(run.shape.head_dim);
  }

  struct Parts {
    LARDER_HOST_DEVICE explicit Parts(const Tile& tile)
        : row_codes(TurboTile<kBits>::RowCodes(tile.dim())),
          residuals(tile.codes() + uint64_t{tile.tokens()} * 2),
          codes(tile.codes() + (uint64_t{tile.tokens()} * 4 + 15) / 16 * 16),
          sketches(codes + uint64_t{tile.tokens()} * row_codes * kBits / 8) {}
    uint32_t row_codes;
    uint8_t* residuals;
    uint8_t* codes;
    uint8_t* sketches;
  };

  // Sixteen rows from `base`: both norms to the tile, codes to shared.codes, residuals where the rows were.
  template <typename Cta>
  LARDER_HOST_DEVICE static void EncodeRows(const EncodePart<Cta>& part, const Shared& shared,
                                            uint32_t begin, uint32_t base, uint32_t count) {
    const Parts parts(part.tile);
    const uint32_t dim = part.tile.dim();
    CodedLanes<Cta> lanes;
    QuantiseRows(part.cta,
                 {part.staging, dim, part.tile.run.book, shared.values, shared.codes,
                  parts.row_codes},
                 base, count, lanes);
    typename Cta::template PerThread<float> energy;
    part.cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      energy[thread] = 0;
      if (row >= count) return;
      const float rms = SqrtOf(lanes.energy[thread] / static_cast<float>(dim));
      const float value = rms > 0 ? rms : lanes.energy[thread];  // 0, or not a number
      if (!(value <= kFp16Max)) part.bad[thread] = true;
      const uint16_t stored = Fp16OfFloat(value);
      if (thread % 16 == 0) StoreWord(stored, part.tile.codes() + uint64_t{begin + row} * 2);
      const float norm = FloatOfFp16(stored);
      float* y = part.staging.Row(row);
      const uint8_t* codes = shared.codes + row * parts.row_codes;
      energy[thread] = LaneSum(thread % 16, dim, [&](uint32_t i) {
        y[i] = y[i] - shared.values[codes[i]] * norm;
        return y[i] * y[i];
      });
    });
    AddLanes(part.cta, energy);
    part.cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      if (row >= count || thread % 16 != 0) return;
      const float rms = SqrtOf(energy[thread] / static_cast<float>(dim));
      StoreNorm(part, thread, rms, parts.residuals, begin + row);
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const Parts parts(tile);
    const uint32_t dim = tile.dim(), row_codes = parts.row_codes;
    TurboTile<kBits>::Prepare(part.cta, tile, shared);
    part.cta.Each([&](unsigned thread) {
      uint8_t* at = tile.codes() + uint64_t{tile.tokens()} * 4 + thread;
      if (part.range.begin == 0 && at < parts.codes) *at = 0;
    });
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      for (uint32_t base = 0; base < count; base += kSketchRows) {
        EncodeRows(part, shared, reader.begin, base, count);
        uint8_t* out = parts.sketches + uint64_t{reader.begin + base} * dim / 8;
        StoreSigns(part, shared.signs, dim, base, count, out);
      }
      part.cta.Sync();
      PackRows<kBits>(part.cta, shared.codes, row_codes, reader.begin, count, parts.codes);
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const Parts parts(tile);
    const uint32_t dim = tile.dim(), row_chunks = parts.row_codes / kChunk;
    const float factor = SqrtOf(kHalfPi / static_cast<float>(dim));
    TurboTile<kBits>::Prepare(part.cta, tile, shared);
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * dim; item += kCtaThreads) {
          const uint32_t row = at + item / dim, channel = item % dim;
          uint32_t codes[kChunk];
          UnpackChunk<kBits>(parts.codes, uint64_t{row} * row_chunks + channel / kChunk, codes);
          const float norm = FloatOfFp16(LoadWord<uint16_t>(tile.codes() + uint64_t{row} * 2));
          const float rest =
              FloatOfFp16(LoadWord<uint16_t>(parts.residuals + uint64_t{row} * 2)) * factor;
          const float value = shared.values[codes[channel % kChunk]] * norm;
          const uint8_t* bits = parts.sketches + uint64_t{row} * dim / 8;
          part.staging.Row(item / dim)[channel] =
              value + rest * SignsDot(tile.run, bits, dim, channel);
        }
      });
      RestorePortion(part, at, count);
    }
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <typename Visitor>
auto VisitSketch(const TileRun& run, const Visitor& visit) {
  if (run.id == CodecId::kQjl) return visit.template Visit<QjlTile>();
  switch (run.params.bits) {
    case 2:
      return visit.template Visit<TurboProdTile<1>>();
    case 3:
      return visit.template Visit<TurboProdTile<2>>();
    default:
      return visit.template Visit<TurboProdTile<3>>();
  }
}

}  // namespace larder
