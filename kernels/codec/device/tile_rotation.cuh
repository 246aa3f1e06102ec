// The Hadamard transform of a portion of rows, and the mean of a tile: the stages of tile_transform.h that need more than
// one element at a time. Bit-equal to rotation_ops_scalar.cc and TileTransform::Centre.
#pragma once

#include "kernels/codec/device/tile_rows.cuh"

namespace larder {

// 16 threads to a row, thread l with the elements l, l + 16, ... in registers: distances 1 to 8 between threads, the others
// within them. D is 16 kSlots, a power of two.
template <size_t kSlots, typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE void HadamardInRegisters(Cta& cta, const Staging& staging,
                                                            uint32_t count) {
  typename Cta::template PerThread<std::array<float, kSlots>> values;
  for (uint32_t base = 0; base < count; base += kCtaThreads / 16) {
    cta.Each([&](unsigned thread) {
      const uint32_t row = base + thread / 16;
      LARDER_UNROLL
      for (size_t i = 0; i < kSlots; ++i) {
        values[thread][i] = row < count ? staging.Row(row)[thread % 16 + 16 * i] : 0.0f;
      }
    });
    for (unsigned mask = 1; mask < 16; mask *= 2) cta.Butterfly(mask, values);
    cta.Each([&](unsigned thread) {
      std::array<float, kSlots>& own = values[thread];
      LARDER_UNROLL
      for (size_t half = 1; half < kSlots; half *= 2) {
        LARDER_UNROLL
        for (size_t i = 0; i < kSlots; ++i) {
          if ((i & half) != 0) continue;
          const float x = own[i], y = own[i + half];
          own[i] = x + y;
          own[i + half] = x - y;
        }
      }
      const uint32_t row = base + thread / 16;
      if (row >= count) return;
      LARDER_UNROLL
      for (size_t i = 0; i < kSlots; ++i) staging.Row(row)[thread % 16 + 16 * i] = own[i];
    });
  }
  cta.Sync();
}

// Any D: the parts of its binary decomposition one after the other, in shared memory.
template <typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE void HadamardInParts(Cta& cta, const Staging& staging,
                                                        uint32_t dim, uint32_t count) {
  for (uint32_t begin = 0; begin < dim;) {
    uint32_t part = 16;
    while (part * 2 <= dim - begin) part *= 2;
    for (uint32_t half = 1; half < part; half *= 2) {
      cta.Each([&](unsigned thread) {
        for (uint32_t item = thread; item < count * part / 2; item += kCtaThreads) {
          const uint32_t pair = item % (part / 2);
          float* values = staging.Row(item / (part / 2)) + begin + pair / half * 2 * half;
          const uint32_t low = pair % half;
          const float x = values[low], y = values[low + half];
          values[low] = x + y;
          values[low + half] = x - y;
        }
      });
      cta.Sync();
    }
    begin += part;
  }
}

// The butterflies over rows that were just stored; synchronises before and after.
template <typename Cta>
LARDER_HOST_DEVICE void Hadamard(Cta& cta, const Staging& staging, uint32_t dim, uint32_t count) {
  cta.Sync();
  switch (dim) {
    case 64:
      return HadamardInRegisters<4>(cta, staging, count);
    case 128:
      return HadamardInRegisters<8>(cta, staging, count);
    case 256:
      return HadamardInRegisters<16>(cta, staging, count);
    default:
      return HadamardInParts(cta, staging, dim, count);
  }
}

// Rows with their signs to rotated rows. Synchronises before and after.
template <typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE void RotatePortion(Cta& cta, const Staging& staging,
                                                      uint32_t dim, uint32_t count) {
  Hadamard(cta, staging, dim, count);
  if ((dim & (dim - 1)) == 0) return;
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * dim; item += kCtaThreads) {
      const uint32_t channel = item % dim;
      uint32_t part = 16, begin = 0;
      while (part * 2 <= dim) part *= 2;
      while (channel >= begin + part) {
        begin += part;
        while (part > dim - begin) part /= 2;
      }
      staging.Row(item / dim)[channel] *=
          SqrtOf(static_cast<float>(dim) / static_cast<float>(part));
    }
  });
  cta.Sync();
}

// Least and greatest value of up to four channels, as a thread has them: thread + 256 i.
struct ChannelRanges {
  std::array<float, 4> sums{};
  std::array<float, 4> lows{};
  std::array<float, 4> highs{};
};

// The mean of the tile's rows into staging.mean and the tile, and the largest magnitude of the rows minus the mean, which
// is exact: subtracting one number is monotonic, so only a channel's ends can be the largest. Synchronises.
template <typename Cta>
LARDER_HOST_DEVICE LARDER_NOINLINE float CentreTile(Cta& cta, const Tile& tile,
                                                    const Staging& staging,
                                                    typename Cta::template PerThread<bool>& bad) {
  const uint32_t dim = tile.dim(), tokens = tile.tokens();
  typename Cta::template PerThread<ChannelRanges> ranges;
  typename Cta::template PerThread<uint32_t> largest;
  for (uint32_t begin = 0; begin < tokens; begin += PortionRows(dim)) {
    const uint32_t left = tokens - begin;
    const uint32_t count = left < PortionRows(dim) ? left : PortionRows(dim);
    LoadPortion(cta, tile, staging, nullptr, /*rotate=*/false, begin, count, bad);
    cta.Sync();
    cta.Each([&](unsigned thread) {
      ChannelRanges& own = ranges[thread];
      LARDER_UNROLL
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t channel = thread + i * kCtaThreads;
        if (channel >= dim) break;
        if (begin == 0) own.lows[i] = own.highs[i] = staging.rows[channel];
        for (uint32_t row = 0; row < count; ++row) {
          const float value = staging.Row(row)[channel];
          own.sums[i] += value;
          own.lows[i] = value < own.lows[i] ? value : own.lows[i];
          own.highs[i] = value > own.highs[i] ? value : own.highs[i];
        }
      }
    });
    cta.Sync();
  }
  cta.Each([&](unsigned thread) {
    const ChannelRanges& own = ranges[thread];
    LARDER_UNROLL
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t channel = thread + i * kCtaThreads;
      if (channel >= dim) break;
      const float average = own.sums[i] / static_cast<float>(tokens);
      if (!(MagnitudeOf(average) <= kFp16Max)) bad[thread] = true;
      const uint16_t stored = Fp16OfFloat(average);
      StoreWord(stored, tile.encoded + channel * 2);
      const float mean = FloatOfFp16(stored);
      staging.mean[channel] = mean;
      const uint32_t low = BitsOf(MagnitudeOf(own.lows[i] - mean));
      const uint32_t high = BitsOf(MagnitudeOf(own.highs[i] - mean));
      const uint32_t both = low > high ? low : high;
      largest[thread] = both > largest[thread] ? both : largest[thread];
    }
  });
  return FloatOfBits(cta.Max(largest));
}

}  // namespace larder
