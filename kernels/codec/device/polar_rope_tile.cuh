// Radii and angles of RoPE pairs on a CTA: device twin of polar_rope_quantiser.cc; its header has shape, size, error and source. A
// thread finds the ranges of a pair over the rows of a group; all of them make codes. Oracle: pair_ops_scalar.cc.
#pragma once

#include "kernels/codec/device/tile_coder.cuh"
#include "kernels/codec/pair_codes.h"

namespace larder {

struct PolarRopeTile {
  static constexpr bool kNeedsRows = true;
  static constexpr uint32_t kGroup = 128;
  static constexpr uint32_t kRuns = 4;  // least radius, radius step, least angle, angle step
  static constexpr float kBins = 16;

  struct Shared {
    float* runs;       // [kRuns][pair]
    uint32_t* wrapped;  // [pair]
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t pairs = run.shape.head_dim / 2;
    return {arena.Take<float>(kRuns * pairs), arena.Take<uint32_t>(pairs)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool encode) {
    return encode ? kGroup : PortionRows(run.shape.head_dim);  // which divides a group
  }
  LARDER_HOST_DEVICE static uint64_t GroupBytes(uint32_t pairs) {
    return uint64_t{pairs} * kRuns * 2;
  }
  LARDER_HOST_DEVICE static uint8_t* CodesOf(const Tile& tile) {
    const uint64_t groups = (tile.tokens() + kGroup - 1) / kGroup;
    return tile.codes() + groups * GroupBytes(tile.dim() / 2);  // a multiple of 16
  }

  struct Range {
    float low = 0;
    float high = 0;
    LARDER_HOST_DEVICE void Take(float value, bool first) {
      low = first || value < low ? value : low;
      high = first || value > high ? value : high;
    }
  };
  // Of up to two pairs, as a thread has them: thread + 256 i.
  struct PairRange {
    std::array<Range, 2> radius, angle, wrapped;
  };

  // Least values and steps of rows [begin, end), a group, to shared memory and to the tile. Synchronises.
  template <typename Cta>
  LARDER_HOST_DEVICE static void FindRanges(const EncodePart<Cta>& part, const Shared& shared,
                                            uint32_t begin, uint32_t end) {
    const uint32_t pairs = part.tile.dim() / 2;
    typename Cta::template PerThread<PairRange> ranges;
    const auto gather = [&](const PortionReader& reader, uint32_t count) {
      part.cta.Each([&](unsigned thread) {
        PairRange& own = ranges[thread];
        LARDER_UNROLL
        for (uint32_t i = 0; i < 2; ++i) {
          const uint32_t pair = thread + i * kCtaThreads;
          if (pair >= pairs) break;
          for (uint32_t row = 0; row < count; ++row) {
            const float x = part.staging.Row(row)[pair], y = part.staging.Row(row)[pair + pairs];
            if (!(MagnitudeOf(x) <= kFp16Max && MagnitudeOf(y) <= kFp16Max)) {
              part.bad[thread] = true;
            }
            const bool first = reader.begin == begin && row == 0;
            const float angle = AngleOfPair(x, y);
            own.radius[i].Take(RadiusOfPair(x, y), first);
            own.angle[i].Take(angle, first);
            own.wrapped[i].Take(WrappedAngle(angle), first);
          }
        }
      });
    };
    ForEachPortion(part, begin, end, gather);
    uint8_t* stored = part.tile.codes() + begin / kGroup * GroupBytes(pairs);
    part.cta.Each([&](unsigned thread) {
      const PairRange& own = ranges[thread];
      LARDER_UNROLL
      for (uint32_t i = 0; i < 2; ++i) {
        const uint32_t pair = thread + i * kCtaThreads;
        if (pair >= pairs) break;
        const Range& plain = own.angle[i];
        const Range& turned = own.wrapped[i];
        const bool wraps = turned.high - turned.low < plain.high - plain.low;
        shared.wrapped[pair] = wraps;
        const Range each[2] = {own.radius[i], wraps ? turned : plain};
        for (uint32_t run = 0; run < 2; ++run) {
          if (!(each[run].high <= kFp16Max)) part.bad[thread] = true;
          const uint16_t least = Fp16OfFloat(each[run].low);
          const uint16_t step = Fp16OfFloat((each[run].high - each[run].low) / kBins);
          StoreWord(least, stored + (2 * run * pairs + pair) * 2);
          StoreWord(step, stored + ((2 * run + 1) * pairs + pair) * 2);
          shared.runs[2 * run * pairs + pair] = FloatOfFp16(least);
          shared.runs[(2 * run + 1) * pairs + pair] = FloatOfFp16(step);
        }
      }
    });
    part.cta.Sync();
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const uint32_t pairs = part.tile.dim() / 2;
    const float* runs = shared.runs;
    for (uint32_t begin = part.range.begin; begin < part.range.end; begin += kGroup) {
      const uint32_t end = LeastOf(begin + kGroup, part.range.end);
      FindRanges(part, shared, begin, end);
      const auto encode = [&](const PortionReader& reader, uint32_t count) {
        part.cta.Each([&](unsigned thread) {
          for (uint32_t item = thread; item < count * pairs; item += kCtaThreads) {
            const uint32_t pair = item % pairs;
            const float* row = part.staging.Row(item / pairs);
            const float x = row[pair], y = row[pair + pairs];
            float angle = AngleOfPair(x, y);
            if (shared.wrapped[pair] != 0) angle = WrappedAngle(angle);
            const unsigned radius_code =
                PairCodeOf(RadiusOfPair(x, y), runs[pair], runs[pairs + pair]);
            const unsigned angle_code =
                PairCodeOf(angle, runs[2 * pairs + pair], runs[3 * pairs + pair]);
            CodesOf(part.tile)[uint64_t{reader.begin} * pairs + item] =
                static_cast<uint8_t>(radius_code << 4 | angle_code);
          }
        });
      };
      ForEachPortion(part, begin, end, encode);
      part.cta.Sync();
    }
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared&) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), pairs = dim / 2;
    const uint8_t* codes = CodesOf(tile);
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      const uint8_t* stored = tile.codes() + at / kGroup * GroupBytes(pairs);
      part.cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * pairs; item += kCtaThreads) {
          const uint32_t pair = item % pairs;
          const auto run = [&](uint32_t index) {
            return FloatOfFp16(LoadWord<uint16_t>(stored + (index * pairs + pair) * 2));
          };
          const uint8_t code = codes[uint64_t{at} * pairs + item];
          const float radius = run(0) + (static_cast<float>(code >> 4) + 0.5f) * run(1);
          const float angle = run(2) + (static_cast<float>(code & 15) + 0.5f) * run(3);
          const PairValues values = PairOfPolar(radius, angle);
          float* row = part.staging.Row(item / pairs);
          row[pair] = values.x;
          row[pair + pairs] = values.y;
        }
      });
      RestorePortion(part, at, count);
    }
  }
};

}  // namespace larder
