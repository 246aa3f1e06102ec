// Lloyd-Max codes in two tiers of channels on a CTA: device twin of turbo_tiered_quantiser.cc; its header has shape, size, choice of
// the channels, error and source. Each tier's rows are gathered, rotated and coded as turbo_tile.cuh does. Oracles:
// codebook_ops_scalar.cc, rotation_ops_scalar.cc.
#pragma once

#include "kernels/codec/device/turbo_tile.cuh"

namespace larder {

// kBits of the weak tier; the strong one has one more.
template <unsigned kBits>
struct TieredTile {
  static constexpr bool kNeedsRows = true;

  struct Shared {
    Staging tiers[2];  // rows of a tier, gathered; factors of its rotation
    float* values[2];  // of the codes
    uint8_t* codes;
    float* energies;  // [channel]
    uint16_t* slots;  // [channel]: its number in its tier, strong ones first
  };
  LARDER_HOST_DEVICE static uint32_t TierDim(const TileRun& run, uint32_t tier) {
    return tier == 0 ? run.params.boosted : run.shape.head_dim - run.params.boosted;
  }
  LARDER_HOST_DEVICE static Shared TakeShared(SharedArena& arena, const TileRun& run) {
    const uint32_t dim = run.shape.head_dim;
    Shared shared{};
    for (uint32_t tier = 0; tier < 2; ++tier) {
      shared.tiers[tier].pitch = RowPitch(TierDim(run, tier));
      shared.tiers[tier].factors = arena.Take<float>(TierDim(run, tier));
      shared.values[tier] = arena.Take<float>(16);
    }
    // One after the other in the same memory.
    const uint32_t pitch = RowPitch(dim);
    shared.tiers[0].rows = shared.tiers[1].rows = arena.Take<float>(PortionRows(dim) * pitch);
    shared.codes = arena.Take<uint8_t>(PortionRows(dim) * (dim + 31) / 32 * 32);
    shared.energies = arena.Take<float>(dim);
    shared.slots = arena.Take<uint16_t>(dim);
    return shared;
  }
  LARDER_HOST_DEVICE static uint32_t PartRows(const TileRun& run, bool encode) {
    return encode ? run.shape.tokens : PortionRows(run.shape.head_dim);
  }

  // Where a tier's tile begins in the codes: behind the mask, and behind the strong tier.
  LARDER_HOST_DEVICE static uint8_t* TierCodes(const Tile& tile, uint32_t tier) {
    uint64_t at = (tile.dim() / 8 + 15) / 16 * 16;
    if (tier == 1) {
      const uint32_t codes = TurboTile<kBits + 1>::RowCodes(TierDim(tile.run, 0));
      at += TurboTile<kBits>::ScaleBytes(tile.tokens()) +
            uint64_t{tile.tokens()} * codes * (kBits + 1) / 8;
      at = (at + 15) / 16 * 16;
    }
    return tile.codes() + at;
  }
  LARDER_HOST_DEVICE static CodedPortion PortionOf(const Tile& tile, const Shared& shared,
                                                   uint32_t tier) {
    const uint32_t dim = TierDim(tile.run, tier);
    const uint32_t codes = tier == 0 ? TurboTile<kBits + 1>::RowCodes(dim)
                                     : TurboTile<kBits>::RowCodes(dim);
    return {shared.tiers[tier], dim,          tier == 0 ? tile.run.strong_book : tile.run.book,
            shared.values[tier], shared.codes, codes};
  }
  // Where a channel of a tier stands when rotated.
  LARDER_HOST_DEVICE static uint32_t PlaceOf(const Tile& tile, uint32_t tier, uint32_t channel) {
    const uint16_t* places = tile.run.tables.tier_places[tier];
    if (places == nullptr) return channel;
    return places[uint64_t{tile.stream} * TierDim(tile.run, tier) + channel];
  }

  // Values of the codebooks and factors of the rotations to shared memory. Synchronises.
  template <typename Cta>
  LARDER_HOST_DEVICE static void Prepare(Cta& cta, const Tile& tile, const Shared& shared,
                                         bool back) {
    cta.Each([&](unsigned thread) {
      if (thread >= 16) return;
      shared.values[0][thread] = tile.run.strong_book.values[thread];
      shared.values[1][thread] = tile.run.book.values[thread];
    });
    for (uint32_t tier = 0; tier < 2; ++tier) {
      PrepareRotation(cta, SeededWord(tile.seed(), (uint64_t{1} << 33) + tier),
                      TierDim(tile.run, tier), back, shared.tiers[tier].factors);
    }
    cta.Sync();
  }

  // Slots from which channels are strong, by strong(channel). Synchronises.
  template <typename Cta, typename Strong>
  LARDER_HOST_DEVICE static void FillSlots(Cta& cta, const Tile& tile, const Shared& shared,
                                           Strong strong) {
    const uint32_t dim = tile.dim(), tier_dim = tile.run.params.boosted;
    cta.Each([&](unsigned thread) {
      for (uint32_t channel = thread; channel < dim; channel += kCtaThreads) {
        const bool is_strong = strong(channel);
        uint32_t slot = is_strong ? 0 : tier_dim;
        for (uint32_t i = 0; i < channel; ++i) slot += strong(i) == is_strong ? 1 : 0;
        shared.slots[channel] = static_cast<uint16_t>(slot);
      }
    });
    cta.Sync();
  }

  // The energy of each channel over the tile, in the order of the tokens; then the strong channels, and the mask of them.
  template <typename Cta>
  LARDER_HOST_DEVICE static void Choose(const EncodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim(), count_strong = tile.run.params.boosted;
    const auto sum = [&](const PortionReader& reader, uint32_t count) {
      part.cta.Each([&](unsigned thread) {
        for (uint32_t channel = thread; channel < dim; channel += kCtaThreads) {
          float energy = reader.begin == 0 ? 0.0f : shared.energies[channel];
          for (uint32_t row = 0; row < count; ++row) {
            const float value = part.staging.Row(row)[channel];
            energy += value * value;
          }
          shared.energies[channel] = energy;
        }
      });
    };
    ForEachPortion(part, part.range.begin, part.range.end, sum);
    part.cta.Sync();
    // A channel's place among the energies, largest first, the lower channel among equals.
    part.cta.Each([&](unsigned thread) {
      for (uint32_t channel = thread; channel < dim; channel += kCtaThreads) {
        uint32_t place = 0;
        for (uint32_t i = 0; i < dim; ++i) {
          const bool before = shared.energies[i] > shared.energies[channel] ||
                              (shared.energies[i] == shared.energies[channel] && i < channel);
          place += before ? 1 : 0;
        }
        shared.codes[channel] = place < count_strong;
      }
    });
    part.cta.Sync();
    FillSlots(part.cta, tile, shared, [&](uint32_t i) { return shared.codes[i] != 0; });
    part.cta.Each([&](unsigned thread) {
      for (uint32_t byte = thread; byte < (dim / 8 + 15) / 16 * 16; byte += kCtaThreads) {
        uint32_t mask = 0;
        for (uint32_t i = 0; i < 8 && byte * 8 + i < dim; ++i) {
          mask |= uint32_t{shared.codes[byte * 8 + i]} << i;
        }
        tile.codes()[byte] = static_cast<uint8_t>(mask);
      }
    });
    part.cta.Sync();
  }

  template <unsigned kTierBits, typename Cta>
  LARDER_HOST_DEVICE static void EncodeTier(const EncodePart<Cta>& part, const Shared& shared,
                                            uint32_t tier, uint32_t begin, uint32_t count) {
    const Tile& tile = part.tile;
    const CodedPortion portion = PortionOf(tile, shared, tier);
    const uint32_t dim = tile.dim(), first = tier == 0 ? 0 : tile.run.params.boosted;
    part.cta.Sync();  // the other tier has been packed
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < count * dim; item += kCtaThreads) {
        const uint32_t row = item / dim, channel = item % dim;
        const uint32_t slot = shared.slots[channel] - first;
        if (slot >= portion.dim) continue;
        const uint32_t place = PlaceOf(tile, tier, slot);
        portion.staging.Row(row)[place] =
            portion.staging.factors[place] * part.staging.Row(row)[channel];
      }
    });
    RotatePortion(part.cta, portion.staging, portion.dim, count);
    uint8_t* codes = TierCodes(tile, tier);
    for (uint32_t base = 0; base < count; base += kCtaThreads / 16) {
      CodedLanes<Cta> lanes;
      QuantiseRows(part.cta, portion, base, count, lanes);
      StoreScales(part, portion, base, count, lanes, codes + begin * 2);
    }
    part.cta.Sync();
    PackRows<kTierBits>(part.cta, shared.codes, portion.row_codes, begin, count,
                        codes + TurboTile<kBits>::ScaleBytes(tile.tokens()));
  }

  // Zeros behind scales and behind the strong tier.
  template <typename Cta>
  LARDER_HOST_DEVICE static void ClearGaps(Cta& cta, const Tile& tile) {
    const uint32_t scales = tile.tokens() * 2, padded = TurboTile<kBits>::ScaleBytes(tile.tokens());
    const uint64_t codes = TurboTile<kBits + 1>::RowCodes(TierDim(tile.run, 0));
    uint8_t* strong_end =
        TierCodes(tile, 0) + padded + uint64_t{tile.tokens()} * codes * (kBits + 1) / 8;
    cta.Each([&](unsigned thread) {
      for (uint32_t tier = 0; tier < 2; ++tier) {
        if (scales + thread < padded) TierCodes(tile, tier)[scales + thread] = 0;
      }
      if (strong_end + thread < TierCodes(tile, 1)) strong_end[thread] = 0;
    });
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Encode(const EncodePart<Cta>& part, const Shared& shared) {
    Prepare(part.cta, part.tile, shared, /*back=*/false);
    Choose(part, shared);
    ClearGaps(part.cta, part.tile);
    const auto encode = [&](const PortionReader& reader, uint32_t count) {
      EncodeTier<kBits + 1>(part, shared, 0, reader.begin, count);
      EncodeTier<kBits>(part, shared, 1, reader.begin, count);
    };
    ForEachPortion(part, part.range.begin, part.range.end, encode);
  }

  template <unsigned kTierBits, typename Cta>
  LARDER_HOST_DEVICE static void DecodeTier(const DecodePart<Cta>& part, const Shared& shared,
                                            uint32_t tier, uint32_t begin, uint32_t count) {
    const Tile& tile = part.tile;
    const CodedPortion portion = PortionOf(tile, shared, tier);
    const uint32_t dim = tile.dim(), first = tier == 0 ? 0 : tile.run.params.boosted;
    const uint8_t* codes = TierCodes(tile, tier);
    UnpackRows<kTierBits>(part.cta, portion, codes,
                          codes + TurboTile<kBits>::ScaleBytes(tile.tokens()), begin, count);
    Hadamard(part.cta, portion.staging, portion.dim, count);
    part.cta.Each([&](unsigned thread) {
      for (uint32_t item = thread; item < count * dim; item += kCtaThreads) {
        const uint32_t row = item / dim, channel = item % dim;
        const uint32_t slot = shared.slots[channel] - first;
        if (slot >= portion.dim) continue;
        const uint32_t place = PlaceOf(tile, tier, slot);
        part.staging.Row(row)[channel] =
            portion.staging.Row(row)[place] * portion.staging.factors[place];
      }
    });
    part.cta.Sync();
  }

  template <typename Cta>
  LARDER_HOST_DEVICE static void Decode(const DecodePart<Cta>& part, const Shared& shared) {
    const Tile& tile = part.tile;
    const uint32_t dim = tile.dim();
    Prepare(part.cta, tile, shared, /*back=*/true);
    // The first set bits, and where fewer are set the lowest channels that are not.
    part.cta.Each([&](unsigned thread) {
      if (thread != 0) return;
      uint32_t left = tile.run.params.boosted;
      for (uint32_t i = 0; i < dim; ++i) {
        shared.codes[i] = left > 0 && (tile.codes()[i / 8] >> (i % 8) & 1) != 0;
        left -= shared.codes[i];
      }
      for (uint32_t i = 0; i < dim && left > 0; ++i) {
        if (shared.codes[i] != 0) continue;
        shared.codes[i] = 1;
        --left;
      }
    });
    part.cta.Sync();
    FillSlots(part.cta, tile, shared, [&](uint32_t i) { return shared.codes[i] != 0; });
    for (uint32_t at = part.range.begin; at < part.range.end; at += PortionRows(dim)) {
      const uint32_t count = LeastOf(PortionRows(dim), part.range.end - at);
      DecodeTier<kBits + 1>(part, shared, 0, at, count);
      DecodeTier<kBits>(part, shared, 1, at, count);
      RestorePortion(part, at, count);
    }
  }
};

// Calls visit.Visit<Quantiser>() with the run's quantiser.
template <typename Visitor>
auto VisitTiered(const TileRun& run, const Visitor& visit) {
  switch (run.params.bits) {
    case 1:
      return visit.template Visit<TieredTile<1>>();
    case 2:
      return visit.template Visit<TieredTile<2>>();
    default:
      return visit.template Visit<TieredTile<3>>();
  }
}

}  // namespace larder
