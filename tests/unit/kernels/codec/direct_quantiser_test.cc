#include "kernels/codec/direct_quantiser.h"

#include <gtest/gtest.h>

#include "kernels/codec/ggml_quantiser.h"
#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

CodecParams Params() {
  CodecParams params;
  params.variant = static_cast<uint8_t>(GgmlFormat::kQ4_1);
  params.bits = 4;
  return params;
}

TEST(DirectQuantiserTest, GivesTheBytesOfTheWayByFp32) {
  const GgmlQuantiser quantiser;
  const DirectCodec direct(quantiser);
  const QuantiserCodec by_fp32(quantiser);
  const CodecParams params = Params();
  for (const TileShape shape : {TileShape{1, 16}, TileShape{65, 48}, TileShape{200, 128}}) {
    for (const Dtype dtype : {Dtype::kBf16, Dtype::kFp16}) {
      const RandomTile tile = GaussianTile(shape, 1, 2, 1.0f, dtype);
      for (const Isa isa : {Isa::kScalar, Isa::kSimd}) {
        TileContext context{params, dtype};
        context.isa = isa;
        Workspace workspace;
        std::vector<std::byte> got(direct.BytesMax(params, shape)), want(got.size());
        ASSERT_TRUE(direct.Encode(context, shape, tile.source(), workspace, got.data()));
        ASSERT_TRUE(by_fp32.Encode(context, shape, tile.source(), workspace, want.data()));
        EXPECT_EQ(got, want);
        std::vector<uint16_t> values(tile.elements.size()), wanted(values.size());
        ASSERT_TRUE(direct.Decode(context, shape, got, workspace, TargetOf(values, shape)));
        ASSERT_TRUE(by_fp32.Decode(context, shape, got, workspace, TargetOf(wanted, shape)));
        EXPECT_EQ(values, wanted);
      }
    }
  }
}

TEST(DirectQuantiserTest, RefusesAWrongSize) {
  const GgmlQuantiser quantiser;
  const DirectCodec codec(quantiser);
  const CodecParams params = Params();
  const TileContext context{params};
  Workspace workspace;
  std::vector<uint16_t> values(64 * 32);
  const std::vector<std::byte> in(codec.BytesMax(params, {32, 64}) + 1);
  EXPECT_FALSE(codec.Decode(context, {32, 64}, in, workspace, TargetOf(values, {32, 64})));
}

}  // namespace
}  // namespace larder
