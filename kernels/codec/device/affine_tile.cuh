// Affine codes on a CTA, along tokens and along channels: device twin of affine_quantiser.cc; its header has shape, size,
// codes, error and source. Oracle: affine_ops_scalar.cc. 
#pragma once

#include "kernels/codec/affine_codes.h"
#include "kernels/codec/device/chunk_codes.cuh"
#include "kernels/codec/device/tile_coder.cuh"

namespace larder {

// A group is consecutive channels of a token.
template <unsigned kBits>
struct AffineRowsTile {
  static constexpr bool kNeedsRows = false;
  static constexpr bool kWritesChunks = true;
  static constexpr float kLevel = static_cast<float>((1u << kBits) - 1);

  struct Shared {
    float* lows;  // of each chunk of a portion; then the minimum of each group
    float* highs;  // then 1 / scale, or the scale
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t chunks = PortionRows(run.shape.head_dim) * run.shape.head_dim / kChunk;
    return {arena.Take<float>(chunks), arena.Take<float>(chunks)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return PortionRows(run.shape.head_dim);
  }

  struct Groups {
    LARDER_HOST_DEVICE explicit Groups(const Tile& tile) {
      const uint32_t dim = tile.dim();
      group_chunks = LeastOf(tile.run.params.group, dim) / kChunk;
      chunks = dim / kChunk;
      per_row = (chunks + group_chunks - 1) / group_chunks;
      minima_at = uint64_t{tile.tokens()} * per_row * 2;
      codes_at = 2 * minima_at;
    }
    uint32_t group_chunks, chunks, per_row;
    uint64_t minima_at, codes_at;  // offsets in the tile's codes
  };

  // The step of each group of the portion, stored in the tile and left in shared.lows and .highs by [row][group]. The
  // ranges stand by [row][chunk]: the first chunk of a group is its place for both.
  template <typename Cta>
  LARDER_HOST_DEVICE static void StoreSteps(const EncodePart<Cta>& part, const Shared& shared,
                                            const Groups& groups, uint32_t begin, uint32_t count) {
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < count * groups.per_row; item += kCtaThreads) {
        const uint32_t row = item / groups.per_row, group = item % groups.per_row;
        const uint32_t first = row * groups.chunks + group * groups.group_chunks;
        const uint32_t end =
            row * groups.chunks + LeastOf((group + 1) * groups.group_chunks, groups.chunks);
        float low = shared.lows[first], high = shared.highs[first];
        for (uint32_t i = first + 1; i < end; ++i) {
          low = shared.lows[i] < low ? shared.lows[i] : low;
          high = shared.highs[i] > high ? shared.highs[i] : high;
        }
        AffineStep step;
        if (!AffineStepOf(low, high, kLevel, &step)) part.bad[thread] = true;
        const uint64_t at = uint64_t{begin + row} * groups.per_row + group;
        StoreWord(step.scale16, part.tile.codes() + at * 2);
        StoreWord(step.minimum16, part.tile.codes() + groups.minima_at + at * 2);
        shared.lows[first] = step.minimum;
        shared.highs[first] = step.inverse;
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const Groups groups(part.tile);
    uint8_t* packed = part.tile.codes() + groups.codes_at;
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      part.cta.Sync();  // the last portion's steps have been used
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * groups.chunks; item += kCtaThreads) {
          float values[kChunk];
          if (!reader.Chunk(item / groups.chunks, item % groups.chunks, values)) {
            part.bad[thread] = true;
          }
          float low = values[0], high = values[0];
          for (uint32_t i = 1; i < kChunk; ++i) {
            low = values[i] < low ? values[i] : low;
            high = values[i] > high ? values[i] : high;
          }
          shared.lows[item] = low;
          shared.highs[item] = high;
        }
      });
      part.cta.Sync();
      StoreSteps(part, shared, groups, reader.begin, count);
      part.cta.Sync();
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * groups.chunks; item += kCtaThreads) {
          const uint32_t row = item / groups.chunks, chunk = item % groups.chunks;
          float values[kChunk];
          reader.Chunk(row, chunk, values);
          const uint32_t step = item - chunk % groups.group_chunks;
          const float minimum = shared.lows[step], inverse = shared.highs[step];
          uint32_t codes[kChunk];
          for (uint32_t i = 0; i < kChunk; ++i) {
            codes[i] = AffineCodeOf(values[i], minimum, inverse, kLevel);
          }
          PackChunk<kBits>(codes, uint64_t{reader.begin} * groups.chunks + item, packed);
        }
      });
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared&) {
    const Groups groups(part.tile);
    const uint8_t* in = part.tile.codes();
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(part.tile.dim())) {
      const uint32_t count = LeastOf(PortionRows(part.tile.dim()), part.range.end - at);
      const PortionWriter writer{part.tile, part.staging, at};
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * groups.chunks; item += kCtaThreads) {
          const uint32_t row = item / groups.chunks, chunk = item % groups.chunks;
          const uint64_t step =
              uint64_t{at + row} * groups.per_row + chunk / groups.group_chunks;
          const float scale = FloatOfFp16(LoadWord<uint16_t>(in + step * 2));
          const float minimum = FloatOfFp16(LoadWord<uint16_t>(in + groups.minima_at + step * 2));
          uint32_t codes[kChunk];
          UnpackChunk<kBits>(in + groups.codes_at, uint64_t{at} * groups.chunks + item, codes);
          float values[kChunk];
          for (uint32_t i = 0; i < kChunk; ++i) {
            values[i] = static_cast<float>(codes[i]) * scale + minimum;
          }
          writer.Chunk(row, chunk, values);
        }
      });
      RestorePortion(part, at, count);
    }
  }
};

// Ranges of the channels of `count` rows, gathered over portions. A thread has the chunk thread % chunks of every
// lanes-th row; Reduce leaves the ranges in shared memory.
struct ColumnRanges {
  std::array<float, kChunk> lows;
  std::array<float, kChunk> highs;
  bool any = false;
};

struct ColumnShared {
  LARDER_HOST_DEVICE ColumnShared(SharedArena& arena, uint32_t dim)
      : lanes(kCtaThreads / (dim / kChunk)),
        lows(arena.Take<float>(lanes * dim)),
        highs(arena.Take<float>(lanes * dim)) {}
  uint32_t lanes;
  float* lows;   // [lane][channel]; reduced: [channel]
  float* highs;
};

// Least and greatest value of each channel of rows [begin, end) into shared.lows and .highs. Synchronises.
template <typename Cta>
LARDER_HOST_DEVICE void FindColumnRanges(const EncodePart<Cta>& part, const ColumnShared& shared,
                                         uint32_t begin, uint32_t end) {
  const uint32_t dim = part.tile.dim(), chunks = dim / kChunk;
  typename Cta::template PerThread<ColumnRanges> ranges;
  part.cta.Each([&](unsigned thread) { ranges[thread].any = false; });
  const auto gather = [&](const PortionReader& reader, uint32_t count) {
    part.cta.Each([&](unsigned thread) {
      ColumnRanges& own = ranges[thread];
      if (thread >= shared.lanes * chunks) return;
      for (uint32_t row = thread / chunks; row < count; row += shared.lanes) {
        float values[kChunk];
        if (!reader.Chunk(row, thread % chunks, values)) part.bad[thread] = true;
        for (uint32_t i = 0; i < kChunk; ++i) {
          own.lows[i] = own.any && own.lows[i] <= values[i] ? own.lows[i] : values[i];
          own.highs[i] = own.any && own.highs[i] >= values[i] ? own.highs[i] : values[i];
        }
        own.any = true;
      }
    });
  };
  ForEachPortion(part, begin, end, gather);
  part.cta.Sync();
  part.cta.Each([&](unsigned thread) {
    if (thread >= shared.lanes * chunks) return;
    for (uint32_t i = 0; i < kChunk; ++i) {
      const uint32_t at = thread / chunks * dim + thread % chunks * kChunk + i;
      shared.lows[at] = ranges[thread].lows[i];
      shared.highs[at] = ranges[thread].highs[i];
    }
  });
  part.cta.Sync();
  const uint32_t used = LeastOf(shared.lanes, end - begin);  // later lanes saw no row
  part.cta.Each([&](unsigned thread) {
    for (uint32_t channel = thread; channel < dim; channel += kCtaThreads) {
      float low = shared.lows[channel], high = shared.highs[channel];
      for (uint32_t lane = 1; lane < used; ++lane) {
        const float other_low = shared.lows[lane * dim + channel];
        const float other_high = shared.highs[lane * dim + channel];
        low = other_low < low ? other_low : low;
        high = other_high > high ? other_high : high;
      }
      shared.lows[channel] = low;
      shared.highs[channel] = high;
    }
  });
  part.cta.Sync();
}

// A group is consecutive tokens of a channel.
template <unsigned kBits>
struct AffineTokensTile {
  // A channel's codes of so many tokens stand in so many words: planes for 3 bits.
  static constexpr uint32_t kUnitTokens = kBits == 3 ? 32 : 32 / kBits;
  static constexpr uint32_t kUnitWords = kBits == 3 ? 3 : 1;
  using Shared = ColumnShared;
  static constexpr bool kNeedsRows = false;
  static constexpr float kLevel = static_cast<float>((1u << kBits) - 1);

  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    return Shared(arena, run.shape.head_dim);
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    const uint32_t group = run.params.group, portion = PortionRows(run.shape.head_dim);
    return group >= portion ? group : portion / group * group;
  }
  LARDER_HOST_DEVICE static uint64_t GroupBytes(uint32_t dim, uint32_t tokens) {
    return uint64_t{dim} * 4 * (1 + (tokens + kUnitTokens - 1) / kUnitTokens * kUnitWords);
  }

  // Where word `word` of a unit stands; `offset` is that of its portion in the group, a multiple of a unit's tokens.
  LARDER_HOST_DEVICE static uint64_t WordAt(uint32_t dim, uint32_t offset, uint32_t unit,
                                            uint32_t word, uint32_t channel) {
    const uint64_t row = uint64_t{offset / kUnitTokens + unit} * kUnitWords + word;
    return (row * dim + channel) * 4;
  }

  // Codes of rows [0, count) of a portion that begins `offset` rows into the group.
  template <typename Cta>
  LARDER_HOST_DEVICE static void QuantisePortion(const EncodePart<Cta>& part,
                                                 const Shared& shared,
                                                 const PortionReader& reader, uint32_t count,
                                                 uint32_t offset, uint8_t* words) {
    const uint32_t dim = part.tile.dim();
    const uint32_t items = (count + kUnitTokens - 1) / kUnitTokens * dim;
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < items; item += kCtaThreads) {
        const uint32_t unit = item / dim, channel = item % dim;
        const float minimum = shared.lows[channel], inverse = shared.highs[channel];
        uint32_t codes[kUnitWords] = {};
        LARDER_UNROLL
        for (uint32_t i = 0; i < kUnitTokens; ++i) {
          const uint32_t row = unit * kUnitTokens + i;
          float value = 0;
          if (row >= count) break;
          reader.Element(row, channel, &value);
          const uint32_t code = AffineCodeOf(value, minimum, inverse, kLevel);
          if constexpr (kBits == 3) {
            for (uint32_t plane = 0; plane < 3; ++plane) codes[plane] |= (code >> plane & 1) << i;
          } else {
            codes[0] |= code << (kBits * i);
          }
        }
        for (uint32_t word = 0; word < kUnitWords; ++word) {
          StoreWord(codes[word], words + WordAt(dim, offset, unit, word, channel));
        }
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const uint32_t dim = part.tile.dim(), group = part.tile.run.params.group;
    for (uint32_t begin = part.range.begin; begin < part.range.end; begin += group) {
      const uint32_t end = LeastOf(begin + group, part.range.end);
      FindColumnRanges(part, shared, begin, end);
      uint8_t* out = part.tile.codes() + begin / group * GroupBytes(dim, group);
      part.cta.Each([&](unsigned thread) {
        for (uint32_t channel = thread; channel < dim; channel += kCtaThreads) {
          AffineStep step;
          if (!AffineStepOf(shared.lows[channel], shared.highs[channel], kLevel, &step)) {
            part.bad[thread] = true;
          }
          StoreWord(step.scale16, out + channel * 2);
          StoreWord(step.minimum16, out + (dim + channel) * 2);
          shared.lows[channel] = step.minimum;
          shared.highs[channel] = step.inverse;
        }
      });
      part.cta.Sync();
      const auto quantise = [&](const PortionReader& reader, uint32_t count) {
        QuantisePortion(part, shared, reader, count, reader.begin - begin, out + dim * 4);
      };
      ForEachPortion(part, begin, end, quantise);
      part.cta.Sync();
    }
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void DecodePortion(const DecodePart<Cta>& part, const uint8_t* in,
                                               uint32_t offset, uint32_t count) {
    const uint32_t dim = part.tile.dim();
    const uint32_t items = (count + kUnitTokens - 1) / kUnitTokens * dim;
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < items; item += kCtaThreads) {
        const uint32_t unit = item / dim, channel = item % dim;
        const float scale = FloatOfFp16(LoadWord<uint16_t>(in + channel * 2));
        const float minimum = FloatOfFp16(LoadWord<uint16_t>(in + (dim + channel) * 2));
        uint32_t codes[kUnitWords];
        for (uint32_t word = 0; word < kUnitWords; ++word) {
          codes[word] = LoadWord<uint32_t>(in + uint64_t{dim} * 4 +
                                           WordAt(dim, offset, unit, word, channel));
        }
        LARDER_UNROLL
        for (uint32_t i = 0; i < kUnitTokens; ++i) {
          const uint32_t row = unit * kUnitTokens + i;
          if (row >= count) break;
          uint32_t code = 0;
          if constexpr (kBits == 3) {
            for (uint32_t plane = 0; plane < 3; ++plane) code |= (codes[plane] >> i & 1) << plane;
          } else {
            code = codes[0] >> (kBits * i) & ((1u << kBits) - 1);
          }
          part.staging.Row(row)[channel] = static_cast<float>(code) * scale + minimum;
        }
      }
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared&) {
    const uint32_t dim = part.tile.dim(), group = part.tile.run.params.group;
    for (uint32_t begin = part.range.begin; begin < part.range.end; begin += group) {
      const uint32_t end = LeastOf(begin + group, part.range.end);
      const uint8_t* in = part.tile.codes() + begin / group * GroupBytes(dim, group);
      for (uint32_t at = begin; at < end; at += PortionRows(dim)) {
        const uint32_t count = LeastOf(PortionRows(dim), end - at);
        DecodePortion(part, in, at - begin, count);
        RestorePortion(part, at, count);
      }
    }
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <template <unsigned> typename TileOf, typename Visitor>
auto VisitBits(const TileRun& run, const Visitor& visit) {
  switch (run.params.bits) {
    case 2:
      return visit.template Visit<TileOf<2>>();
    case 3:
      return visit.template Visit<TileOf<3>>();
    case 4:
      return visit.template Visit<TileOf<4>>();
    default:
      return visit.template Visit<TileOf<8>>();
  }
}

template <typename Visitor>
auto VisitAffine(const TileRun& run, const Visitor& visit) {
  return run.params.variant == kAffineChannels ? VisitBits<AffineRowsTile>(run, visit)
                                               : VisitBits<AffineTokensTile>(run, visit);
}

}  // namespace larder
