// Affine codes along tokens with boosted channels on a CTA: device twin of kitty_quantiser.cc; its header has shape, page, codes,
// error and source. Oracle: affine_ops_scalar.cc and the quantiser.
#pragma once

#include "kernels/codec/device/affine_tile.cuh"

namespace larder {

struct KittyTile {
  static constexpr bool kNeedsRows = false;
  static constexpr uint32_t kPageTokens = 128;
  static constexpr uint32_t kWordTokens = 16;

  struct Shared {
    ColumnShared ranges;  // then minimum and 1 / scale of each channel
    float* sums;          // of magnitudes; then the channel's number of steps
    uint8_t* map;         // 1 for boosted channels; then the map of the page
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t dim = run.shape.head_dim;
    return {ColumnShared(arena, dim), arena.Take<float>(dim), arena.Take<uint8_t>(2 * dim)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun&, bool) { return kPageTokens; }

  // Where the parts of a page stand, in bytes.
  struct Page {
    LARDER_HOST_DEVICE Page(const Tile& tile, uint32_t begin, uint32_t end)
        : dim(tile.dim()),
          boosted(tile.run.params.boosted),
          map(dim * 4),
          low(map + dim),
          high(low + (end - begin + kWordTokens - 1) / kWordTokens * dim * 4),
          // Pages before it are full.
          base(tile.codes() + begin / kPageTokens *
                                  (uint64_t{dim} * 5 + kPageTokens / kWordTokens * 4 *
                                                           uint64_t{dim + boosted})) {}
    uint32_t dim, boosted;
    uint32_t map, low, high;
    uint8_t* base;
  };

  // Sums of magnitudes, in the order of the rows.
  template <typename Cta>
  LARDER_HOST_DEVICE static void SumMagnitudes(const EncodePart<Cta>& part, const Shared& shared,
                                               uint32_t begin, uint32_t end) {
    const uint32_t dim = part.tile.dim();
    const auto add = [&](const PortionReader& reader, uint32_t count) {
      part.cta.Each([&](unsigned thread) {
        for (uint32_t channel = thread; channel < dim; channel += kCtaThreads) {
          float sum = reader.begin == begin ? 0.0f : shared.sums[channel];
          for (uint32_t row = 0; row < count; ++row) {
            float value;
            reader.Element(row, channel, &value);
            sum += MagnitudeOf(value);
          }
          shared.sums[channel] = sum;
        }
      });
    };
    ForEachPortion(part, begin, end, add);
    part.cta.Sync();
  }

  // The map of the page to shared.map and the tile, the steps' count to shared.sums. Synchronises.
  template <typename Cta>
  LARDER_HOST_DEVICE static void Boost(const EncodePart<Cta>& part, const Shared& shared,
                                       const Page& page) {
    uint8_t* chosen = shared.map + page.dim;
    part.cta.Each([&](unsigned thread) {
      for (uint32_t channel = thread; channel < page.dim; channel += kCtaThreads) {
        // Larger sums first, then lower channels. Sums are not negative: their bits are in order.
        const uint32_t own = BitsOf(shared.sums[channel]);
        uint32_t before = 0;
        for (uint32_t other = 0; other < page.dim; ++other) {
          const uint32_t bits = BitsOf(shared.sums[other]);
          before += bits > own || (bits == own && other < channel) ? 1 : 0;
        }
        chosen[channel] = before < page.boosted ? 1 : 0;
      }
    });
    part.cta.Sync();
    part.cta.Each([&](unsigned thread) {
      for (uint32_t channel = thread; channel < page.dim; channel += kCtaThreads) {
        uint32_t slot = 0;
        for (uint32_t other = 0; other < channel; ++other) slot += chosen[other];
        const bool boosted = chosen[channel] != 0;
        shared.map[channel] = static_cast<uint8_t>(boosted ? slot : page.boosted);
        page.base[page.map + channel] = shared.map[channel];
        shared.sums[channel] = boosted ? 15.0f : 3.0f;
      }
    });
    part.cta.Sync();
  }

  // Words of the portion that begins `offset` rows into the page.
  template <typename Cta>
  LARDER_HOST_DEVICE static void QuantisePortion(const EncodePart<Cta>& part, const Shared& shared,
                                                 const Page& page, const PortionReader& reader,
                                                 uint32_t count, uint32_t offset) {
    const uint32_t items = (count + kWordTokens - 1) / kWordTokens * page.dim;
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < items; item += kCtaThreads) {
        const uint32_t word = item / page.dim, channel = item % page.dim;
        const float minimum = shared.ranges.lows[channel], inverse = shared.ranges.highs[channel];
        uint32_t low = 0, high = 0;
        LARDER_UNROLL
        for (uint32_t i = 0; i < kWordTokens; ++i) {
          const uint32_t row = word * kWordTokens + i;
          if (row >= count) break;
          float value;
          reader.Element(row, channel, &value);
          const uint32_t code = AffineCodeOf(value, minimum, inverse, shared.sums[channel]);
          low |= (code & 3) << (2 * i);
          high |= (code >> 2) << (2 * i);
        }
        const uint32_t at = offset / kWordTokens + word, slot = shared.map[channel];
        StoreWord(low, page.base + page.low + (at * page.dim + channel) * 4);
        if (slot < page.boosted) {
          StoreWord(high, page.base + page.high + (at * page.boosted + slot) * 4);
        }
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    for (uint32_t begin = part.range.begin; begin < part.range.end; begin += kPageTokens) {
      const uint32_t end = LeastOf(begin + kPageTokens, part.range.end);
      const Page page(part.tile, begin, end);
      FindColumnRanges(part, shared.ranges, begin, end);
      SumMagnitudes(part, shared, begin, end);
      Boost(part, shared, page);
      part.cta.Each([&](unsigned thread) {
        for (uint32_t channel = thread; channel < page.dim; channel += kCtaThreads) {
          AffineStep step;
          if (!AffineStepOf(shared.ranges.lows[channel], shared.ranges.highs[channel],
                            shared.sums[channel], &step)) {
            part.bad[thread] = true;
          }
          StoreWord(step.scale16, page.base + channel * 2);
          StoreWord(step.minimum16, page.base + (page.dim + channel) * 2);
          shared.ranges.lows[channel] = step.minimum;
          shared.ranges.highs[channel] = step.inverse;
        }
      });
      part.cta.Sync();
      const auto quantise = [&](const PortionReader& reader, uint32_t count) {
        QuantisePortion(part, shared, page, reader, count, reader.begin - begin);
      };
      ForEachPortion(part, begin, end, quantise);
      part.cta.Sync();
    }
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void DecodePortion(const DecodePart<Cta>& part, const Page& page,
                                               uint32_t offset, uint32_t count) {
    const uint32_t items = (count + kWordTokens - 1) / kWordTokens * page.dim;
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < items; item += kCtaThreads) {
        const uint32_t channel = item % page.dim, word = item / page.dim;
        const uint32_t at = offset / kWordTokens + word, slot = page.base[page.map + channel];
        const float scale = FloatOfFp16(LoadWord<uint16_t>(page.base + channel * 2));
        const float minimum =
            FloatOfFp16(LoadWord<uint16_t>(page.base + (page.dim + channel) * 2));
        const auto low =
            LoadWord<uint32_t>(page.base + page.low + (at * page.dim + channel) * 4);
        uint32_t high = 0;  // a map may hold anything: slots beyond the plane are no slots
        if (slot < page.boosted) {
          high = LoadWord<uint32_t>(page.base + page.high + (at * page.boosted + slot) * 4);
        }
        LARDER_UNROLL
        for (uint32_t i = 0; i < kWordTokens; ++i) {
          const uint32_t row = word * kWordTokens + i;
          if (row >= count) break;
          const uint32_t code = (low >> (2 * i) & 3) | (high >> (2 * i) & 3) << 2;
          part.staging.Row(row)[channel] = static_cast<float>(code) * scale + minimum;
        }
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared&) {
    const uint32_t portion = PortionRows(part.tile.dim());
    for (uint32_t begin = part.range.begin; begin < part.range.end; begin += kPageTokens) {
      const uint32_t end = LeastOf(begin + kPageTokens, part.range.end);
      const Page page(part.tile, begin, end);
      for (uint32_t at = begin; at < end; at += portion) {
        const uint32_t count = LeastOf(portion, end - at);
        DecodePortion(part, page, at - begin, count);
        RestorePortion(part, at, count);
      }
    }
  }
};

}  // namespace larder
