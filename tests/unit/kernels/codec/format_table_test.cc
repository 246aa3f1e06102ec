// Sizes of whole blocks, as the tables of formats promise them.
#include <gtest/gtest.h>

#include "kernels/codec/block_coder.h"
#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder {
namespace {

// Llama-3 8B: 32 layers, 8 KV heads, 128 channels; 131,072 raw bytes per token.
KvShape Llama3Layer(uint32_t tokens) {
  KvShape shape = AttentionShape(tokens, 128);
  shape.layer_begin = 0;
  shape.layers = 32;
  shape.kv_heads = 8;
  return shape;
}

struct Size {
  double codes = 0;     // bytes per token of the streams
  double overhead = 0;  // of what a stream has once: scale of a head, mean, padding
};

Size SizeOf(std::string_view plan_name, uint32_t tokens) {
  const KvShape shape = Llama3Layer(tokens);
  const BlockRecipe recipe = RecipeOf(plan_name);
  double bytes = 0, once = 0;
  for (const StreamKind kind : {StreamKind::kKey, StreamKind::kValue}) {
    const StreamCodec& codec = kind == StreamKind::kKey ? recipe.plan.key : recipe.plan.value;
    const StreamLayout layout = LayoutOf(codec, shape, kind, shape.kv_heads);
    EXPECT_EQ(layout.table_bytes, 0u) << plan_name;
    bytes += static_cast<double>(layout.stream_bytes_max) * shape.layers / tokens;
    // Twice the tokens of a multiple of every group take twice the bytes, but for what is there once.
    KvShape twice = shape;
    twice.tokens = 2 * tokens;
    const double more =
        static_cast<double>(LayoutOf(codec, twice, kind, shape.kv_heads).stream_bytes_max);
    once += (2 * static_cast<double>(layout.stream_bytes_max) - more) * shape.layers / tokens;
  }
  return {bytes - once, once};
}

TEST(FormatTableTest, BlocksOfLlama3TakeTheBytesOfTheTable) {
  const struct {
    std::string_view plan;
    double bytes_per_token;
  } rows[] = {
      {"e4m3", 65'536},      {"q8q4", 53'248},  {"q4_0", 36'864},
      {"turbo4", 33'792},    {"polar", 31'744}, {"turbo3", 25'600},
      {"kivi2_g32", 24'576}, {"kitty", 19'712}, {"kivi2_g128", 18'432},
  };
  for (const auto& row : rows) {
    const Size size = SizeOf(row.plan, 256);
    EXPECT_EQ(size.codes, row.bytes_per_token) << row.plan;
    EXPECT_LE(size.overhead, 32) << row.plan;  // fp8: 16 bytes for each head, kind and layer
  }
  EXPECT_EQ(SizeOf("e4m3", 256).overhead, 32);
  EXPECT_EQ(SizeOf("q8q4", 256).overhead, 0);
}

// The size that a frame really has, for every format whose size is fixed.
TEST(FormatTableTest, FramesHaveTheSizeOfTheirLayout) {
  KvShape shape = AttentionShape(256, 128);
  const auto raw = GaussianBlock(shape, 1);
  BlockCoder coder;
  for (const FormatRow& row : Formats()) {
    if (row.key.id == CodecId::kRaw || !FindTileCodec(row.key.id)->FixedSize()) continue;
    const EncodedBlock block = coder.Encode(RecipeOf(row.name), IdentityAt(256), shape, raw);
    FrameView view;
    ASSERT_EQ(FrameView::Parse(block.frame, &view), FrameFault::kNone) << row.name;
    for (const StreamEntry& stream : view.streams()) {
      const auto kind = static_cast<StreamKind>(stream.kind);
      const auto codec = ReadDescriptor(view.descriptors()[stream.descriptor]);
      ASSERT_TRUE(codec) << row.name;
      EXPECT_EQ(stream.bytes, LayoutOf(*codec, shape, kind, 2).stream_bytes_max) << row.name;
    }
  }
}

}  // namespace
}  // namespace larder
