#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "kernels/format/frame.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder {
namespace {

using testing::Bytes;
using testing::MakeFrame;

// The worked example of FORMAT.md.
KvShape ExampleShape() {
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = Dtype::kBf16;
  shape.axis_order = AxisOrder::kNhd;
  shape.layer_begin = 7;
  shape.layers = 1;
  shape.kv_heads = 1;
  shape.head_dim_k = 4;
  shape.head_dim_v = 2;
  shape.tokens = 3;
  return shape;
}

FrameIdentity ExampleIdentity() {
  FrameIdentity identity;
  identity.space_digest.fill(0x11);
  identity.manifest_digest.fill(0x22);
  identity.prefix_hash = {0xA1, 0xA2, 0xA3, 0xA4};
  identity.prefix_hash_bytes = 4;
  identity.parent_hash = {0xB1, 0xB2, 0xB3, 0xB4};
  identity.parent_hash_bytes = 4;
  identity.token_begin = 3;
  return identity;
}

Bytes ExampleRaw() {
  Bytes raw(36);
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<std::byte>(i);
  return raw;
}

// "0010  00 01 ..." with 16 bytes to a line: how FORMAT.md shows bytes.
std::string HexDump(const Bytes& bytes) {
  std::string dump;
  char text[24];
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 16 == 0) {
      std::snprintf(text, sizeof(text), "%04zx ", i);
      dump += text;
    }
    std::snprintf(text, sizeof(text), " %02x", static_cast<unsigned>(bytes[i]));
    dump += text;
    if (i % 16 == 15) dump += '\n';
  }
  return dump;
}

// The text between "```hex" and "```".
std::string HexDumpIn(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const std::string markdown = text.str();
  const std::string fence = "```hex\n";
  const size_t begin = markdown.find(fence);
  if (begin == std::string::npos) return "";
  const size_t first = begin + fence.size();
  return markdown.substr(first, markdown.find("```", first) - first);
}

TEST(FrameBuildTest, YieldsTheBytesThatFormatMdShows) {
  const Bytes frame = MakeFrame(ExampleIdentity(), ExampleShape(), ExampleRaw());
  EXPECT_EQ(HexDump(frame), HexDumpIn(LARDER_FORMAT_MD));
}

TEST(FrameBuildTest, FrameHasTheSizeThatWasForetold) {
  std::mt19937_64 random(21);
  for (int round = 0; round < 300; ++round) {
    const KvShape shape = testing::RandomShape(random);
    const Bytes raw = testing::RandomBytes(random, RawBytes(shape).value());
    const Bytes frame = MakeFrame(testing::RandomIdentity(random), shape, raw);
    ASSERT_EQ(frame.size(), RawFrameBytes(shape)) << "seed 21, round " << round;
    ASSERT_EQ(testing::Load<FrameHeader>(frame, 0).frame_bytes, frame.size());
  }
}

TEST(FrameBuildTest, RootNamesTheWholeFrame) {
  const auto root = [](const FrameIdentity& identity, const KvShape& shape, const Bytes& raw) {
    return testing::Load<FrameHeader>(BuildRawFrameHeader(identity, shape, raw), 0).root;
  };
  const Checksum128 original = root(ExampleIdentity(), ExampleShape(), ExampleRaw());
  EXPECT_EQ(root(ExampleIdentity(), ExampleShape(), ExampleRaw()), original);

  Bytes other_raw = ExampleRaw();
  other_raw.back() ^= std::byte{1};
  EXPECT_NE(root(ExampleIdentity(), ExampleShape(), other_raw), original);
  FrameIdentity other_identity = ExampleIdentity();
  other_identity.space_digest[0] ^= 1;
  EXPECT_NE(root(other_identity, ExampleShape(), ExampleRaw()), original);
  KvShape other_shape = ExampleShape();
  other_shape.axis_order = AxisOrder::kHnd;
  EXPECT_NE(root(ExampleIdentity(), other_shape, ExampleRaw()), original);
}

TEST(FrameBuildTest, RefusesRawBytesOfAnotherSize) {
  Bytes raw = ExampleRaw();
  raw.pop_back();
  EXPECT_TRUE(BuildRawFrameHeader(ExampleIdentity(), ExampleShape(), raw).empty());
  raw.resize(37);
  EXPECT_TRUE(BuildRawFrameHeader(ExampleIdentity(), ExampleShape(), raw).empty());
}

TEST(FrameBuildTest, RefusesAnIdentityThatReadersRefuse) {
  const auto refused = [](auto change) {
    FrameIdentity identity = ExampleIdentity();
    change(identity);
    return BuildRawFrameHeader(identity, ExampleShape(), ExampleRaw()).empty();
  };
  EXPECT_FALSE(refused([](FrameIdentity& i) { i.parent_hash_bytes = 4; }));
  EXPECT_TRUE(refused([](FrameIdentity& i) { i.prefix_hash_bytes = 0; }));
  EXPECT_TRUE(refused([](FrameIdentity& i) { i.prefix_hash_bytes = 33; }));
  EXPECT_TRUE(refused([](FrameIdentity& i) { i.prefix_hash[31] = 1; }));
  EXPECT_TRUE(refused([](FrameIdentity& i) { i.parent_hash_bytes = 33; }));
  EXPECT_TRUE(refused([](FrameIdentity& i) { i.parent_hash_bytes = 0; }));  // the hash remains
}

TEST(FrameBuildTest, RefusesShapesThatAreNotValid) {
  KvShape shape = ExampleShape();
  shape.tokens = 0;
  EXPECT_EQ(RawFrameBytes(shape), 0u);
  EXPECT_TRUE(BuildRawFrameHeader(ExampleIdentity(), shape, {}).empty());
  shape.tokens = shape.head_dim_k = shape.head_dim_v = 0xFFFFFFFF;
  EXPECT_EQ(RawFrameBytes(shape), 0u);
}

TEST(FrameBuildTest, TakesTheLargestBlockAndNoLarger) {
  KvShape shape = ExampleShape();
  shape.layers = 80;
  shape.kv_heads = 8;
  shape.head_dim_k = shape.head_dim_v = 128;
  shape.tokens = 204;
  EXPECT_GT(RawFrameBytes(shape), uint64_t{60} << 20);

  shape = KvShape{};
  shape.kind = GroupKind::kState;
  shape.layers = 1;
  shape.unit_bytes = 64 << 20;
  EXPECT_EQ(RawFrameBytes(shape), (uint64_t{64} << 20) + 384);  // 256 + 64 + 48, padded
  shape.unit_bytes = static_cast<uint32_t>(kFrameBytesMax - 384);
  EXPECT_EQ(RawFrameBytes(shape), kFrameBytesMax);
  shape.unit_bytes += 1;
  EXPECT_EQ(RawFrameBytes(shape), 0u);
}

TEST(FrameBuildTest, RefusesABlockWhosePaddingOverflows) {
  KvShape shape;
  shape.kind = GroupKind::kOpaque;
  shape.layers = 4096;
  shape.tokens = (1 << 26) - 1;
  shape.unit_bytes = (1 << 26) + 1;  // a layer has 2^52 - 1 bytes, padded 2^52; all layers 2^64
  ASSERT_TRUE(RawBytes(shape));
  EXPECT_EQ(RawFrameBytes(shape), 0u);
}

TEST(FrameBuildTest, RefusesADirectoryThatDoesNotFit) {
  KvShape shape;
  shape.kind = GroupKind::kState;
  shape.unit_bytes = 1;
  shape.layers = kShapeLayersMax;  // 4096 entries of 48 bytes fit
  EXPECT_GT(RawFrameBytes(shape), 0u);
  shape = ExampleShape();
  shape.layers = 2727;  // 320 + 2727 x 2 x 48 = 262,112 of 262,144
  EXPECT_GT(RawFrameBytes(shape), 0u);
  shape.layers = 2728;
  EXPECT_EQ(RawFrameBytes(shape), 0u);
}

}  // namespace
}  // namespace larder
