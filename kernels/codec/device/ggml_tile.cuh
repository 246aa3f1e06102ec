// ggml's block formats on a CTA: device twin of ggml_quantiser.cc; its header has shape, size, codes, error and source.
//
// Encoding, a thread has a group of 32 values in registers; decoding, a chunk of 8. Blocks, whose sizes are no multiple of a
// word, pass through shared memory, so that device memory sees words. Oracle: ggml_ops_scalar.cc.
#pragma once

#include "kernels/codec/device/tile_coder.cuh"
#include "kernels/codec/ggml_codes.h"

namespace larder {

template <GgmlFormat kFormat>
struct GgmlTile {
  static constexpr bool kNeedsRows = false;
  static constexpr bool kWritesChunks = true;
  static constexpr GgmlBlock kBlock = BlockOf(kFormat);
  static constexpr uint32_t kBlockBytes = kBlock.bytes;
  static constexpr uint32_t kValues = kGgmlGroup;
  static constexpr float kDivisor = ScaleDivisor(kFormat);

  struct Shared {
    uint8_t* blocks;  // of a portion
  };
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t values = PortionRows(run.shape.head_dim) * run.shape.head_dim;
    return {arena.Take<uint8_t>(values / kValues * kBlockBytes)};
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool) {
    return PortionRows(run.shape.head_dim);
  }

  struct Range {
    float low, high, first;  // first: the first value of the largest magnitude, when both signs have it
    bool finite;
  };

  LARDER_HOST_DEVICE static Range RangeOf(const float* values) {
    Range range{values[0], values[0], 0, true};
    for (uint32_t i = 1; i < kValues; ++i) {
      range.low = values[i] < range.low ? values[i] : range.low;
      range.high = values[i] > range.high ? values[i] : range.high;
    }
    range.low += 0.0f;  // -0 becomes 0
    range.high += 0.0f;
    range.first = range.high;
    if (range.high == -range.low && range.high != 0) {
      for (uint32_t i = kValues; i-- > 0;) {
        if (MagnitudeOf(values[i]) == range.high) range.first = values[i];
      }
    }
    return range;
  }

  LARDER_HOST_DEVICE static float ScaleOf(const Range& range) {
    if (kBlock.has_minimum) return (range.high - range.low) / kDivisor;
    if (kFormat == GgmlFormat::kQ8_0) {
      return (range.high >= -range.low ? range.high : -range.low) / kDivisor;
    }
    if (range.high == -range.low) return range.first / kDivisor;
    return (range.high > -range.low ? range.high : range.low) / kDivisor;
  }

  LARDER_HOST_DEVICE static float InverseOf(float scale) {
    return MagnitudeOf(scale) >= kGgmlScaleMin ? 1.0f / scale : 0.0f;
  }

  // The factor that makes iq4_nl's scale fit its codes best; sums in tree order.
  LARDER_HOST_DEVICE static float FitOf(const float* values, float inverse) {
    float above[kValues], below[kValues];
    for (uint32_t i = 0; i < kValues; ++i) {
      const float scaled = values[i] * inverse;
      const float value = Iq4NlValue(Iq4NlCode(scaled));
      const float weighted = scaled * scaled * value;
      above[i] = weighted * scaled;
      below[i] = weighted * value;
    }
    for (uint32_t half = kValues / 2; half > 0; half /= 2) {
      for (uint32_t lane = 0; lane < half; ++lane) {
        above[lane] += above[lane + half];
        below[lane] += below[lane + half];
      }
    }
    return above[0] / below[0];
  }

  // Writes a block; false when its scale or minimum is beyond fp16.
  LARDER_HOST_DEVICE static bool EncodeGroup(const float* values, uint8_t* block) {
    const Range range = RangeOf(values);
    float scale = ScaleOf(range);
    if (!(MagnitudeOf(scale) <= kFp16Max)) return false;
    if (kFormat == GgmlFormat::kIq4Nl) {
      const float inverse = InverseOf(scale);
      if (inverse != 0) scale *= FitOf(values, inverse);
      if (!(MagnitudeOf(scale) <= kFp16Max)) return false;
    }
    const float inverse = InverseOf(scale);
    StoreWord(Fp16OfFloat(scale), block);
    if (kBlock.has_minimum) {
      if (!(MagnitudeOf(range.low) <= kFp16Max)) return false;
      StoreWord(Fp16OfFloat(range.low), block + 2);
    }
    uint8_t* out = block + kBlock.codes;
    uint32_t fifth = 0;
    for (uint32_t i = 0; i < kValues / 2; ++i) {
      const unsigned low = GgmlCodeOf(kFormat, values[i], inverse, range.low);
      const unsigned high = GgmlCodeOf(kFormat, values[i + 16], inverse, range.low);
      if (kBlock.bits == 8) {
        out[i] = static_cast<uint8_t>(low);
        out[i + 16] = static_cast<uint8_t>(high);
      } else {
        out[i] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
        fifth |= (low >> 4 & 1) << i | (high >> 4 & 1) << (i + 16);
      }
    }
    if (kBlock.bits == 5) {
      StoreWord(static_cast<uint16_t>(fifth), out - 4);
      StoreWord(static_cast<uint16_t>(fifth >> 16), out - 2);
    }
    return true;
  }

  // Between shared memory and the tile, `bytes` of the blocks of a portion; both begin on 4 bytes.
  template <typename Cta>
  LARDER_HOST_DEVICE static void CopyBytes(Cta& cta, const uint8_t* from, uint32_t bytes,
                                           uint8_t* to) {
    cta.Each([&](unsigned thread) {
      for (uint32_t at = thread * 4; at + 4 <= bytes; at += kCtaThreads * 4) {
        StoreWord(LoadWord<uint32_t>(from + at), to + at);
      }
      if (thread == 0 && bytes % 4 != 0) {  // blocks are of an even size
        StoreWord(LoadWord<uint16_t>(from + bytes - 2), to + bytes - 2);
      }
    });
  }

  // Bytes of the blocks before row `row` of the tile; rows come in pairs.
  LARDER_HOST_DEVICE static uint64_t BytesBefore(uint32_t dim, uint32_t row) {
    return uint64_t{row} * dim / kValues * kBlockBytes;
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    const uint32_t dim = part.tile.dim();
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      const uint32_t chunks = count * dim / kChunk, groups = (chunks + 3) / 4;
      part.cta.Sync();  // the last portion's blocks have been copied
      part.cta.Each([&](unsigned thread) {
        for (uint32_t group = thread; group < groups; group += kCtaThreads) {
          float values[kValues];
          LARDER_UNROLL
          for (uint32_t i = 0; i < 4; ++i) {
            const uint32_t chunk = group * 4 + i;
            float* out = values + i * kChunk;
            if (chunk >= chunks) {
              for (uint32_t j = 0; j < kChunk; ++j) out[j] = 0;
            } else if (!reader.Chunk(chunk * kChunk / dim, chunk * kChunk % dim / kChunk, out)) {
              part.bad[thread] = true;
            }
          }
          if (!EncodeGroup(values, shared.blocks + group * kBlockBytes)) part.bad[thread] = true;
        }
      });
      part.cta.Sync();
      CopyBytes(part.cta, shared.blocks, groups * kBlockBytes,
                part.tile.codes() + BytesBefore(dim, reader.begin));
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
  }

  LARDER_HOST_DEVICE static void DecodeChunk(const uint8_t* block, uint32_t quarter, float* out) {
    const float scale = FloatOfFp16(LoadWord<uint16_t>(block));
    const float minimum = kBlock.has_minimum ? FloatOfFp16(LoadWord<uint16_t>(block + 2)) : 0.0f;
    const uint8_t* in = block + kBlock.codes;
    uint32_t fifth = 0;
    if (kBlock.bits == 5) fifth = LoadWord<uint16_t>(in - 4 + quarter / 2 * 2);
    for (uint32_t i = 0; i < kChunk; ++i) {
      const uint32_t at = quarter * kChunk + i;
      uint32_t code = kBlock.bits == 8 ? in[at] : in[at % 16] >> (quarter / 2 * 4) & 15;
      if (kBlock.bits == 5) code |= (fifth >> (at % 16) & 1) << 4;
      out[i] = GgmlValueOf(kFormat, code, scale, minimum);
    }
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const uint32_t dim = part.tile.dim();
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      const uint32_t chunks = count * dim / kChunk;
      const PortionWriter writer{part.tile, part.staging, at};
      CopyBytes(part.cta, part.tile.codes() + BytesBefore(dim, at), (chunks + 3) / 4 * kBlockBytes,
                shared.blocks);
      part.cta.Sync();
      part.cta.Each([&](unsigned thread) {
        for (uint32_t chunk = thread; chunk < chunks; chunk += kCtaThreads) {
          float values[kChunk];
          DecodeChunk(shared.blocks + chunk / 4 * kBlockBytes, chunk % 4, values);
          writer.Chunk(chunk * kChunk / dim, chunk * kChunk % dim / kChunk, values);
        }
      });
      RestorePortion(part, at, count);
    }
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <typename Visitor>
auto VisitGgml(const TileRun& run, const Visitor& visit) {
  switch (static_cast<GgmlFormat>(run.params.variant)) {
    case GgmlFormat::kQ8_0:
      return visit.template Visit<GgmlTile<GgmlFormat::kQ8_0>>();
    case GgmlFormat::kQ4_0:
      return visit.template Visit<GgmlTile<GgmlFormat::kQ4_0>>();
    case GgmlFormat::kQ4_1:
      return visit.template Visit<GgmlTile<GgmlFormat::kQ4_1>>();
    case GgmlFormat::kQ5_0:
      return visit.template Visit<GgmlTile<GgmlFormat::kQ5_0>>();
    case GgmlFormat::kQ5_1:
      return visit.template Visit<GgmlTile<GgmlFormat::kQ5_1>>();
    default:
      return visit.template Visit<GgmlTile<GgmlFormat::kIq4Nl>>();
  }
}

}  // namespace larder
