#include "kernels/codec/stream_layout.h"

#include <gtest/gtest.h>

#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder {
namespace {

TEST(StreamLayoutTest, PutsTableAndSinksBeforeTiles) {
  const KvShape shape = AttentionShape(/*tokens=*/40, /*dim=*/64);
  StreamCodec codec = RecipeOf("lossless").plan.key;
  codec.params.sinks = 4;
  const StreamLayout layout = LayoutOf(codec, shape, StreamKind::kKey, /*heads=*/5);
  EXPECT_EQ(layout.tile.tokens, 36u);
  EXPECT_EQ(layout.table_bytes, 32u);  // 5 words, to a multiple of 16
  EXPECT_EQ(layout.sink_bytes, 4u * 64 * 2);
  EXPECT_EQ(layout.tile_bytes_max, 36u * 64 * 2);
  EXPECT_EQ(layout.stream_bytes_max, 32u + 5 * (4u * 64 * 2 + 36u * 64 * 2));
}

TEST(StreamLayoutTest, GivesFixedSizesNoTable) {
  const KvShape shape = AttentionShape(/*tokens=*/40, /*dim=*/64);
  const StreamLayout layout =
      LayoutOf(RecipeOf("e4m3").plan.key, shape, StreamKind::kKey, /*heads=*/2);
  EXPECT_EQ(layout.table_bytes, 0u);
  EXPECT_EQ(layout.stream_bytes_max, 2u * (16 + 40 * 64));  // scale and codes
}

TEST(StreamLayoutTest, AppliesToWhatCodecsCanCode) {
  const KvShape shape = AttentionShape(/*tokens=*/40, /*dim=*/64);
  StreamCodec codec = RecipeOf("e4m3").plan.key;
  EXPECT_TRUE(Applies(codec, shape, StreamKind::kKey, 64));
  EXPECT_FALSE(Applies(StreamCodec{}, shape, StreamKind::kKey, 64));
  EXPECT_FALSE(Applies(codec, shape, StreamKind::kRope, 64));
  KvShape bytes = shape;
  bytes.dtype = Dtype::kFp8E4M3;
  EXPECT_FALSE(Applies(codec, bytes, StreamKind::kKey, 64));
  codec.params.sinks = 4;
  EXPECT_TRUE(Applies(codec, shape, StreamKind::kKey, 0));
  EXPECT_FALSE(Applies(codec, shape, StreamKind::kKey, 64));
  codec.params.sinks = 40;
  EXPECT_FALSE(Applies(codec, shape, StreamKind::kKey, 0));
}

}  // namespace
}  // namespace larder
