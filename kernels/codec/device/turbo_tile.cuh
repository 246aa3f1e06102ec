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

// Codes of up to sixteen rows from `base` of the portion, of the codebook whose values stand at `values`; zeros behind a row up to
// `row_codes`, at most 16 of them.
template <typename Cta>
LARDER_HOST_DEVICE void QuantiseRows(const EncodePart<Cta>& part, const float* values,
                                     uint8_t* codes, uint32_t row_codes, uint32_t base,
                                     uint32_t count, CodedLanes<Cta>& coded) {
  const uint32_t dim = part.tile.dim();
  const Codebook& book = part.tile.run.book;
  part.cta.Each([&](unsigned thread) {
    const uint32_t row = base + thread / 16;
    coded.energy[thread] = 0;
    if (row >= count) return;
    const float* y = part.staging.Row(row);
    coded.energy[thread] = LaneSum(thread % 16, dim, [&](uint32_t i) { return y[i] * y[i]; });
  });
  AddLanes(part.cta, coded.energy);
  part.cta.Each([&](unsigned thread) {
    const uint32_t row = base + thread / 16, lane = thread % 16;
    coded.product[thread] = 0;
    if (row >= count) return;
    const float* y = part.staging.Row(row);
    uint8_t* row_at = codes + row * row_codes;
    const float rms = SqrtOf(coded.energy[thread] / static_cast<float>(dim));
    const float inverse = rms > 0 ? 1.0f / rms : 0.0f;
    coded.product[thread] = LaneSum(lane, dim, [&](uint32_t i) {
      row_at[i] = CodeOf(book, y[i] * inverse);
      return y[i] * values[row_at[i]];
    });
    if (dim + lane < row_codes) row_at[dim + lane] = 0;
  });
  AddLanes(part.cta, coded.product);
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

  // Sixteen rows from `base` of the portion: codes to shared.codes, scales to the tile.
  template <typename Cta>
  LARDER_HOST_DEVICE static void EncodeRows(const EncodePart<Cta>& part, const Shared& shared,
                                            uint32_t begin, uint32_t base, uint32_t count) {
    const uint32_t dim = part.tile.dim(), row_codes = RowCodes(dim);
    CodedLanes<Cta> lanes;
    QuantiseRows(part, shared.values, shared.codes, row_codes, base, count, lanes);
    typename Cta::template PerThread<float> code_energy;
    if (part.tile.run.params.variant == kTurboNormed) {
      part.cta.Each([&](unsigned thread) {
        const uint32_t row = base + thread / 16;
        code_energy[thread] = 0;
        if (row >= count) return;
        const uint8_t* codes = shared.codes + row * row_codes;
        code_energy[thread] = LaneSum(thread % 16, dim, [&](uint32_t i) {
          return shared.values[codes[i]] * shared.values[codes[i]];
        });
      });
      AddLanes(part.cta, code_energy);
    }
    part.cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      if (row >= count || thread % 16 != 0) return;
      const float rms = SqrtOf(lanes.energy[thread] / static_cast<float>(dim));
      const CodedRow coded{lanes.energy[thread], rms, lanes.product[thread]};
      const float scale =
          TurboScaleOf(coded, part.tile.run.params.variant, code_energy[thread]);
      if (!(scale <= kFp16Max)) part.bad[thread] = true;
      StoreWord(Fp16OfFloat(scale), part.tile.codes() + (begin + row) * 2);
    });
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
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      for (uint32_t base = 0; base < count; base += kCtaThreads / 16) {
        EncodeRows(part, shared, reader.begin, base, count);
      }
      part.cta.Sync();
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * row_codes / kChunk; item += kCtaThreads) {
          uint32_t codes[kChunk];
          for (uint32_t i = 0; i < kChunk; ++i) codes[i] = shared.codes[item * kChunk + i];
          PackChunk<kBits>(codes, uint64_t{reader.begin} * row_codes / kChunk + item, packed);
        }
      });
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), row_chunks = RowCodes(dim) / kChunk;
    const uint8_t* packed = tile.codes() + ScaleBytes(tile.tokens());
    Prepare(part.cta, tile, shared);
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * row_chunks; item += kCtaThreads) {
          const uint32_t row = item / row_chunks, chunk = item % row_chunks;
          if (chunk * kChunk >= dim) continue;  // the zeros behind a row
          uint32_t codes[kChunk];
          UnpackChunk<kBits>(packed, uint64_t{at} * row_chunks + item, codes);
          const float scale = FloatOfFp16(LoadWord<uint16_t>(tile.codes() + (at + row) * 2));
          float* out = part.staging.Row(row) + chunk * kChunk;
          for (uint32_t i = 0; i < kChunk; ++i) out[i] = shared.values[codes[i]] * scale;
        }
      });
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
