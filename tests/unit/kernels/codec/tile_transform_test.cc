#include "kernels/codec/tile_transform.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

CodecParams Params(uint8_t transform, uint16_t rotary_dim) {
  CodecParams params;
  params.transform = transform;
  params.seed = 99;
  if ((transform & kTransformUnrope) != 0) {
    params.rope_pairing = 1;
    params.rope_rotary_dim = rotary_dim;
    params.rope_theta = 10'000;
  }
  return params;
}

// Forth and back without a quantiser: what changes is rounding alone.
TEST(TileTransformTest, RestoresWhatItLoaded) {
  for (const uint32_t dim : {16u, 64u, 80u, 96u, 128u, 256u, 576u}) {
    for (uint8_t transform = 0; transform <= kTransformAll; ++transform) {
      for (const Dtype dtype : {Dtype::kBf16, Dtype::kFp16}) {
        const TileShape shape{37, dim};
        const RandomTile tile = GaussianTile(shape, dim, 2, 1.0f, dtype);
        const CodecParams params = Params(transform, static_cast<uint16_t>(dim / 32 * 16));
        const bool turned = (transform & kTransformUnrope) != 0 && params.rope_rotary_dim >= 16;
        const RopeTable rope(Params(kTransformUnrope, dim < 32 ? 16 : params.rope_rotary_dim), 1000,
                             shape.tokens);
        TileContext context{params, dtype};
        context.rope = turned ? &rope : nullptr;
        Workspace workspace;
        const TileTransform stage(context, shape, workspace);
        std::vector<float> rows(shape.elements());
        std::vector<std::byte> mean(dim * 2);
        stage.Load(tile.source(), 0, shape.tokens, rows.data());
        if (stage.needs_whole_tile()) {
          ASSERT_TRUE(stage.Centre(rows.data(), mean.data()));
        }
        stage.Rotate(rows.data(), shape.tokens);
        std::vector<uint16_t> back(shape.elements());
        stage.Restore(rows.data(), 0, shape.tokens, mean.data(), TargetOf(back, shape));
        EXPECT_LT(RelativeMse(tile, back), 3e-6) << dim << " " << int{transform};
        if (transform == 0) {
          EXPECT_EQ(back, tile.elements);
        }
      }
    }
  }
}

TEST(TileTransformTest, RotationKeepsEnergyAndSpreadsOneChannel) {
  for (const uint32_t dim : {64u, 80u, 128u}) {
    const TileShape shape{1, dim};
    const CodecParams params = Params(kTransformRotate, 0);
    const TileContext context{params};
    Workspace workspace;
    const TileTransform stage(context, shape, workspace);
    std::vector<float> row(dim, 0.0f);
    row[3] = 1.0f;
    stage.Rotate(row.data(), 1);
    double energy = 0;
    for (float value : row) energy += double{value} * value;
    EXPECT_NEAR(energy, dim, 1e-3 * dim);
  }
}

TEST(TileTransformTest, CentringRefusesMeansBeyondHalfPrecision) {
  const TileShape shape{4, 16};
  RandomTile tile = GaussianTile(shape, 1);
  for (uint16_t& element : tile.elements) element = Bf16OfFloat(1e6f);
  const CodecParams params = Params(kTransformCentre, 0);
  const TileContext context{params};
  Workspace workspace;
  const TileTransform stage(context, shape, workspace);
  std::vector<float> rows(shape.elements());
  std::vector<std::byte> mean(32);
  stage.Load(tile.source(), 0, 4, rows.data());
  EXPECT_FALSE(stage.Centre(rows.data(), mean.data()));
}

}  // namespace
}  // namespace larder
