// Seeded tiles for codec tests: Gaussian values, with outlier channels when asked, as bf16 or fp16.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/tile_codec.h"

namespace larder {

struct RandomTile {
  TileShape shape;
  Dtype dtype = Dtype::kBf16;
  std::vector<uint16_t> elements;  // [token][head_dim]

  SourceRows source() const {
    SourceRows rows;
    rows.base = reinterpret_cast<const std::byte*>(elements.data());
    rows.token_stride = static_cast<ptrdiff_t>(shape.head_dim) * 2;
    return rows;
  }
  float at(size_t i) const {
    return dtype == Dtype::kBf16 ? FloatOfBf16(elements[i]) : FloatOfFp16(elements[i]);
  }
};

inline uint16_t ElementOf(Dtype dtype, float value) {
  return dtype == Dtype::kBf16 ? Bf16OfFloat(value) : Fp16OfFloat(value);
}

// `outliers` channels have mean 12; every value is multiplied by `scale`.
inline RandomTile GaussianTile(TileShape shape, uint64_t seed, uint32_t outliers = 0,
                               float scale = 1.0f, Dtype dtype = Dtype::kBf16) {
  RandomTile tile{shape, dtype, std::vector<uint16_t>(shape.elements())};
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  for (size_t i = 0; i < tile.elements.size(); ++i) {
    const bool outlier = i % shape.head_dim < outliers;
    const double value = normal(random) + (outlier ? 12.0 : 0.0);
    tile.elements[i] = ElementOf(dtype, static_cast<float>(value) * scale);
  }
  return tile;
}

inline TargetRows TargetOf(std::vector<uint16_t>& elements, TileShape shape) {
  TargetRows rows;
  rows.base = reinterpret_cast<std::byte*>(elements.data());
  rows.token_stride = static_cast<ptrdiff_t>(shape.head_dim) * 2;
  return rows;
}

// What the codec's decoder makes of the tile's encoding.
inline std::vector<uint16_t> RoundTripOf(const TileCodec& codec, const RandomTile& tile,
                                         const CodecParams& params) {
  EXPECT_TRUE(codec.Accepts(params, tile.shape));
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<std::byte> out(codec.BytesMax(params, tile.shape));
  const auto bytes = codec.Encode(context, tile.shape, tile.source(), workspace, out.data());
  EXPECT_TRUE(bytes.has_value());
  out.resize(bytes.value_or(0));
  std::vector<uint16_t> decoded(tile.elements.size());
  EXPECT_TRUE(codec.Decode(context, tile.shape, out, workspace, TargetOf(decoded, tile.shape)));
  return decoded;
}

// Sum of squared errors over sum of squares.
inline double RelativeMse(const RandomTile& tile, const std::vector<uint16_t>& decoded) {
  double error = 0, energy = 0;
  for (size_t i = 0; i < decoded.size(); ++i) {
    const double value = tile.at(i);
    const double read =
        tile.dtype == Dtype::kBf16 ? FloatOfBf16(decoded[i]) : FloatOfFp16(decoded[i]);
    error += (read - value) * (read - value);
    energy += value * value;
  }
  return error / energy;
}

}  // namespace larder
