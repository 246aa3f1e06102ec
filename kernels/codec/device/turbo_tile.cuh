// Lloyd-Max codes of rotated rows on a CTA: device twin of turbo_quantiser.cc; its header has shape, size, scales, error and
// source. 16 threads to a row, thread l with the elements l, l + 16, ...: the even ones of them are lane l of the sums' 32,
// the odd ones lane l + 16. Oracle: codebook_ops_scalar.cc.
#pragma once

#include "kernels/codec/device/chunk_codes.cuh"
#include "kernels/codec/device/tile_coder.cuh"
#include "kernels/codec/turbo_scale.h"

namespace larder {

// Sums of a row's 16 threads, in the tree order of VectorOps::dot: each has added the products of lanes l and l + 16.
template <typename Cta>
LARDER_HOST_DEVICE void AddLanes(Cta& cta, typename Cta::template PerThread<float>& sums) {
  for (unsigned mask = 8; mask > 0; mask /= 2) cta.AddXor(mask, sums);
}

// Of the row's elements at lane, lane + 16, ...: the sum of product(i), lanes l and l + 16 of 32 apart and then together.
template <typename Product>
LARDER_HOST_DEVICE float LaneSum(uint32_t lane, uint32_t dim, Product product) {
  float even = 0, odd = 0;
  for (uint32_t i = lane; i < dim; i += 32) {
    even += product(i);
    if (i + 16 < dim) odd += product(i + 16);
  }
  return even + odd;
}

// Of sixteen rows that are being coded; thread t has those of row t / 16.
template <typename Cta>
struct CodedLanes {
  typename Cta::template PerThread<float> energy;   // |y|^2
  typename Cta::template PerThread<float> product;  // <y, c>
};

// Rows of a portion that a codebook codes, and where the codes go.
struct CodedPortion {
  const Staging& staging;
  uint32_t dim;
  const Codebook& book;
  const float* values;  // the book's, in shared memory
  uint8_t* codes;       // [row][row_codes]; zeros behind a row, at most 16 of them
  uint32_t row_codes;
};

// Codes of up to sixteen rows from `base` of `count`.
template <typename Cta>
LARDER_HOST_DEVICE void QuantiseRows(Cta& cta, const CodedPortion& portion, uint32_t base,
                                     uint32_t count, CodedLanes<Cta>& coded) {
  const uint32_t dim = portion.dim;
  cta.Each([&](unsigned thread) {
    const uint32_t row = base + thread / 16;
    coded.energy[thread] = 0;
    if (row >= count) return;
    const float* y = portion.staging.Row(row);
    coded.energy[thread] = LaneSum(thread % 16, dim, [&](uint32_t i) { return y[i] * y[i]; });
  });
  AddLanes(cta, coded.energy);
  cta.Each([&](unsigned thread) {
    const uint32_t row = base + thread / 16, lane = thread % 16;
    coded.product[thread] = 0;
    if (row >= count) return;
    const float* y = portion.staging.Row(row);
    uint8_t* row_at = portion.codes + row * portion.row_codes;
    const float rms = SqrtOf(coded.energy[thread] / static_cast<float>(dim));
    const float inverse = rms > 0 ? 1.0f / rms : 0.0f;
    coded.product[thread] = LaneSum(lane, dim, [&](uint32_t i) {
      row_at[i] = CodeOf(portion.book, y[i] * inverse);
      return y[i] * portion.values[row_at[i]];
    });
    if (dim + lane < portion.row_codes) row_at[dim + lane] = 0;
  });
  AddLanes(cta, coded.product);
}

// fp16 scales of those rows, of `variant`, to `scales`; bad[] where one does not fit.
template <typename Cta>
LARDER_HOST_DEVICE void StoreScales(const EncodePart<Cta>& part, const CodedPortion& portion,
                                    uint32_t base, uint32_t count, CodedLanes<Cta>& lanes,
                                    uint8_t* scales) {
  const uint32_t dim = portion.dim;
  typename Cta::template PerThread<float> code_energy;
  const uint8_t variant = part.tile.run.params.variant;
  if (variant == kTurboNormed) {
    part.cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      code_energy[thread] = 0;
      if (row >= count) return;
      const uint8_t* codes = portion.codes + row * portion.row_codes;
      code_energy[thread] = LaneSum(thread % 16, dim, [&](uint32_t i) {
        return portion.values[codes[i]] * portion.values[codes[i]];
      });
    });
    AddLanes(part.cta, code_energy);
  }
  part.cta.Each([&](unsigned thread) {
    const uint32_t row = base + thread / 16;
    if (row >= count || thread % 16 != 0) return;
    const float rms = SqrtOf(lanes.energy[thread] / static_cast<float>(dim));
    const CodedRow coded{lanes.energy[thread], rms, lanes.product[thread]};
    const float scale = TurboScaleOf(coded, variant, code_energy[thread]);
    if (!(scale <= kFp16Max)) part.bad[thread] = true;
    StoreWord(Fp16OfFloat(scale), scales + row * 2);
  });
}

// The codes of `count` rows, packed from row `begin` of the tile on. The caller synchronises.
template <unsigned kBits, typename Cta>
LARDER_HOST_DEVICE void PackRows(Cta& cta, const uint8_t* codes, uint32_t row_codes,
                                 uint32_t begin, uint32_t count, uint8_t* packed) {
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * row_codes / kChunk; item += kCtaThreads) {
      uint32_t chunk[kChunk];
      for (uint32_t i = 0; i < kChunk; ++i) chunk[i] = codes[item * kChunk + i];
      PackChunk<kBits>(chunk, uint64_t{begin} * row_codes / kChunk + item, packed);
    }
  });
}

// Values of packed codes of rows [begin, begin + count) times their scales to staging.rows.
template <unsigned kBits, typename Cta>
LARDER_HOST_DEVICE void UnpackRows(Cta& cta, const CodedPortion& portion, const uint8_t* scales,
                                   const uint8_t* packed, uint32_t begin, uint32_t count) {
  const uint32_t row_chunks = portion.row_codes / kChunk;
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * row_chunks; item += kCtaThreads) {
      const uint32_t row = item / row_chunks, chunk = item % row_chunks;
      if (chunk * kChunk >= portion.dim) continue;  // the zeros behind a row
      uint32_t codes[kChunk];
      UnpackChunk<kBits>(packed, uint64_t{begin} * row_chunks + item, codes);
      const float scale = FloatOfFp16(LoadWord<uint16_t>(scales + (begin + row) * 2));
      float values[kChunk];
      for (uint32_t i = 0; i < kChunk; ++i) values[i] = portion.values[codes[i]] * scale;
      StoreStaged(values, portion.staging.Row(row) + chunk * kChunk);
    }
  });
}

template <unsigned kBits>
struct TurboTile {
  static constexpr bool kNeedsRows = true;

  struct Shared {
    float* values;   // of the codes
    uint8_t* codes;  // [row][row codes]
  };
  LARDER_HOST_DEVICE static uint32_t RowCodes(uint32_t dim) {
    return kBits == 3 ? (dim + 31) / 32 * 32 : dim;
  }
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t dim = run.shape.head_dim;
    return {arena.Take<float>(16), arena.Take<uint8_t>(PortionRows(dim) * RowCodes(dim))};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return PortionRows(run.shape.head_dim);
  }
  LARDER_HOST_DEVICE static uint32_t ScaleBytes(uint32_t tokens) {
    return (tokens * 2 + 15) / 16 * 16;
  }

  // The codebook's values to shared.values.
  template <typename Cta, typename Memory>
  LARDER_HOST_DEVICE static void Prepare(Cta& cta, const Tile& tile, const Memory& shared) {
    cta.Each([&](unsigned thread) {
      if (thread < 16) shared.values[thread] = tile.run.book.values[thread];
    });
    cta.Sync();
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t row_codes = RowCodes(tile.dim());
    Prepare(part.cta, tile, shared);
    part.cta.Each([&](unsigned thread) {
      const uint32_t at = tile.tokens() * 2 + thread;
      if (part.range.begin == 0 && at < ScaleBytes(tile.tokens())) tile.codes()[at] = 0;
    });
    uint8_t* packed = tile.codes() + ScaleBytes(tile.tokens());
    const CodedPortion portion{part.staging,  tile.dim(),   tile.run.book,
                               shared.values, shared.codes, row_codes};
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      for (uint32_t base = 0; base < count; base += kCtaThreads / 16) {
        CodedLanes<Cta> lanes;
        QuantiseRows(part.cta, portion, base, count, lanes);
        StoreScales(part, portion, base, count, lanes, tile.codes() + reader.begin * 2);
      }
      part.cta.Sync();
      PackRows<kBits>(part.cta, shared.codes, row_codes, reader.begin, count, packed);
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim();
    const uint8_t* packed = tile.codes() + ScaleBytes(tile.tokens());
    Prepare(part.cta, tile, shared);
    const CodedPortion portion{part.staging,  dim,          tile.run.book,
                               shared.values, shared.codes, RowCodes(dim)};
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      UnpackRows<kBits>(part.cta, portion, tile.codes(), packed, at, count);
      RestorePortion(part, at, count);
    }
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <typename Visitor>
auto VisitTurbo(const TileRun& run, const Visitor& visit) {
  switch (run.params.bits) {
    case 1:
      return visit.template Visit<TurboTile<1>>();
    case 2:
      return visit.template Visit<TurboTile<2>>();
    case 3:
      return visit.template Visit<TurboTile<3>>();
    default:
      return visit.template Visit<TurboTile<4>>();
  }
}

}  // namespace larder
