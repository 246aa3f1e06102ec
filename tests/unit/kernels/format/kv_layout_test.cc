#include "kernels/format/kv_layout.h"

#include <limits>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder {
namespace {

constexpr uint32_t kHuge = std::numeric_limits<uint32_t>::max();

KvShape Attention(uint32_t layers, uint32_t kv_heads, uint32_t head_dim, uint32_t tokens = 1) {
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = Dtype::kBf16;
  shape.axis_order = AxisOrder::kNhd;
  shape.layers = layers;
  shape.kv_heads = kv_heads;
  shape.head_dim_k = head_dim;
  shape.head_dim_v = head_dim;
  shape.tokens = tokens;
  return shape;
}

KvShape Latent(uint32_t layers, uint32_t latent_dim, uint32_t rope_dim) {
  KvShape shape;
  shape.kind = GroupKind::kLatent;
  shape.dtype = Dtype::kBf16;
  shape.layers = layers;
  shape.head_dim_k = latent_dim;
  shape.head_dim_v = rope_dim;
  shape.tokens = 1;
  return shape;
}

KvShape Units(GroupKind kind, uint32_t layers, uint32_t unit_bytes, uint32_t tokens) {
  KvShape shape;
  shape.kind = kind;
  shape.layers = layers;
  shape.unit_bytes = unit_bytes;
  shape.tokens = tokens;
  return shape;
}

struct ModelCase {
  std::string name;
  KvShape shape;
  uint64_t bytes;
};

class KvLayoutModelTest : public ::testing::TestWithParam<ModelCase> {};

TEST_P(KvLayoutModelTest, HasThePublishedSize) {
  EXPECT_EQ(RawBytes(GetParam().shape), GetParam().bytes);
}

constexpr uint64_t kKiB = 1024;
INSTANTIATE_TEST_SUITE_P(
    Models, KvLayoutModelTest,
    ::testing::Values(
        ModelCase{"Gpt2Xl", Attention(48, 25, 64), 307'200},
        ModelCase{"Llama3_8B", Attention(32, 8, 128), 131'072},
        ModelCase{"Llama31_70B", Attention(80, 8, 128), 327'680},
        ModelCase{"Llama31_70B_128KiTokens", Attention(80, 8, 128, 128 * 1024), 42'949'672'960},
        ModelCase{"DeepSeekV3", Latent(61, 512, 64), 70'272},
        ModelCase{"DeepSeekV2", Latent(60, 512, 64), 69'120},
        ModelCase{"DeepSeekV3_Fp8Rows", Units(GroupKind::kOpaque, 61, 656, 1), 40'016},
        ModelCase{"Gemma3_27B", Attention(62, 16, 128), 507'904},
        ModelCase{"Gemma3_27B_GlobalLayers", Attention(10, 16, 128), 81'920},
        ModelCase{"Gemma3_27B_Window", Attention(52, 16, 128, 1024), 416 * kKiB* kKiB},
        ModelCase{"Gemma3_1B", Attention(26, 1, 256), 26 * kKiB},
        ModelCase{"Gemma3_4B", Attention(34, 4, 256), 136 * kKiB},
        ModelCase{"Gemma3_12B", Attention(48, 8, 256), 384 * kKiB},
        // 64 layers of a 5120 x 16 state and a 5120 x 3 convolution window, bf16.
        ModelCase{"Mamba_2_8B", Units(GroupKind::kState, 64, 5120 * (16 + 3) * 2, 0), 12'451'840}),
    [](const ::testing::TestParamInfo<ModelCase>& model) { return model.param.name; });

TEST(KvLayoutTest, DtypeHasItsSize) {
  EXPECT_EQ(DtypeBytes(Dtype::kFp32), 4u);
  EXPECT_EQ(DtypeBytes(Dtype::kBf16), 2u);
  EXPECT_EQ(DtypeBytes(Dtype::kFp16), 2u);
  for (Dtype dtype : {Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8, Dtype::kUint8}) {
    EXPECT_EQ(DtypeBytes(dtype), 1u);
  }
  EXPECT_EQ(DtypeBytes(Dtype::kUnspecified), 0u);
  EXPECT_EQ(DtypeBytes(static_cast<Dtype>(8)), 0u);
}

TEST(KvLayoutTest, KeyAndValueMayDifferInHeadDim) {
  KvShape shape = Attention(1, 2, 192, 16);
  shape.head_dim_v = 128;
  EXPECT_EQ(RawStreamBytes(shape, StreamKind::kKey), 16u * 2 * 192 * 2);
  EXPECT_EQ(RawStreamBytes(shape, StreamKind::kValue), 16u * 2 * 128 * 2);
  EXPECT_EQ(RawBytes(shape), 16u * 2 * (192 + 128) * 2);
}

TEST(KvLayoutTest, StreamsStandLayerByLayer) {
  KvShape shape = Attention(2, 3, 4, 5);
  shape.layer_begin = 10;
  const std::vector<RawStream> streams = RawStreams(shape);
  ASSERT_EQ(streams.size(), 4u);
  const uint64_t bytes = 5 * 3 * 4 * 2;
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(streams[i].kind, i % 2 == 0 ? StreamKind::kKey : StreamKind::kValue);
    EXPECT_EQ(streams[i].layer, 10 + i / 2);
    EXPECT_EQ(streams[i].heads, 3u);
    EXPECT_EQ(streams[i].offset, i * bytes);
    EXPECT_EQ(streams[i].bytes, bytes);
  }
}

TEST(KvLayoutTest, StreamsTileTheRawBlock) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 500; ++round) {
    const KvShape shape = testing::RandomShape(random);
    const std::vector<RawStream> streams = RawStreams(shape);
    ASSERT_EQ(streams.size(), shape.layers * StreamsOfLayer(shape.kind).size());
    uint64_t end = 0;
    for (const RawStream& stream : streams) {
      ASSERT_EQ(stream.offset, end);
      ASSERT_EQ(stream.bytes, RawStreamBytes(shape, stream.kind));
      ASSERT_EQ(stream.heads, shape.kind == GroupKind::kAttention ? shape.kv_heads : 1);
      end += stream.bytes;
    }
    ASSERT_EQ(end, RawBytes(shape));
  }
}

TEST(KvLayoutTest, KindHasOnlyItsOwnStreams) {
  const KvShape shape = Attention(1, 1, 8);
  EXPECT_TRUE(RawStreamBytes(shape, StreamKind::kKey));
  for (StreamKind kind : {StreamKind::kUnspecified, StreamKind::kLatent, StreamKind::kRope,
                          StreamKind::kState, StreamKind::kOpaque}) {
    EXPECT_FALSE(RawStreamBytes(shape, kind));
  }
}

TEST(KvLayoutTest, RefusesFieldsThatTheKindNeeds) {
  const auto refused = [](KvShape shape, auto change) {
    change(shape);
    return !RawBytes(shape) && RawStreams(shape).empty();
  };
  const KvShape good = Attention(2, 2, 8);
  ASSERT_TRUE(RawBytes(good));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.kind = GroupKind::kUnspecified; }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.kind = static_cast<GroupKind>(5); }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.dtype = Dtype::kUnspecified; }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.dtype = static_cast<Dtype>(8); }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.axis_order = AxisOrder::kUnspecified; }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.axis_order = static_cast<AxisOrder>(3); }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.layers = 0; }));
  EXPECT_FALSE(RawStreamBytes(Attention(0, 2, 8), StreamKind::kKey));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.kv_heads = 0; }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.head_dim_k = 0; }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.head_dim_v = 0; }));
  EXPECT_TRUE(refused(good, [](KvShape& s) { s.tokens = 0; }));
  EXPECT_TRUE(refused(Latent(1, 512, 64), [](KvShape& s) { s.head_dim_v = 0; }));
  EXPECT_TRUE(refused(Latent(1, 512, 64), [](KvShape& s) { s.dtype = Dtype::kUnspecified; }));
  const KvShape state = Units(GroupKind::kState, 1, 64, 0);
  EXPECT_TRUE(refused(state, [](KvShape& s) { s.unit_bytes = 0; }));
  EXPECT_TRUE(refused(state, [](KvShape& s) { s.dtype = static_cast<Dtype>(8); }));
  EXPECT_TRUE(refused(Units(GroupKind::kOpaque, 1, 64, 1), [](KvShape& s) { s.tokens = 0; }));
}

TEST(KvLayoutTest, StateDoesNotDependOnTokens) {
  EXPECT_EQ(RawBytes(Units(GroupKind::kState, 3, 100, 0)), 300u);
  EXPECT_EQ(RawBytes(Units(GroupKind::kState, 3, 100, 4096)), 300u);
}

TEST(KvLayoutTest, RefusesShapesBeyondItsLimits) {
  EXPECT_TRUE(RawBytes(Attention(kShapeLayersMax, kShapeHeadsMax, 1)));
  EXPECT_FALSE(RawBytes(Attention(kShapeLayersMax + 1, 1, 1)));
  EXPECT_FALSE(RawBytes(Attention(1, kShapeHeadsMax + 1, 1)));
  EXPECT_FALSE(RawBytes(Units(GroupKind::kState, kHuge, 1, 0)));

  KvShape last_layers = Attention(2, 1, 1);
  last_layers.layer_begin = kHuge - 1;
  EXPECT_EQ(RawStreams(last_layers).back().layer, kHuge);
  last_layers.layer_begin = kHuge;
  EXPECT_FALSE(RawBytes(last_layers));
}

TEST(KvLayoutTest, RefusesSizesThatOverflow) {
  // 2^32 x 2^16 x 2^32 x 2 overflows in one stream.
  EXPECT_FALSE(RawBytes(Attention(1, kShapeHeadsMax, kHuge, kHuge)));
  EXPECT_FALSE(RawStreamBytes(Attention(1, kShapeHeadsMax, kHuge, kHuge), StreamKind::kKey));

  KvShape sum =
      Attention(1, 1, kHuge, kHuge);  // one stream is 2^64 - 2^33 + 1 with one-byte elements
  sum.dtype = Dtype::kInt8;
  EXPECT_TRUE(RawStreamBytes(sum, StreamKind::kKey));
  EXPECT_FALSE(RawBytes(sum));  // two are not

  const KvShape product = Units(GroupKind::kOpaque, 2, kHuge, kHuge);
  EXPECT_TRUE(RawStreamBytes(product, StreamKind::kOpaque));
  EXPECT_FALSE(RawBytes(product));
}

}  // namespace
}  // namespace larder
