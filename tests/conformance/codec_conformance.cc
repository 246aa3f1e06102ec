// One list of tests over every codec of the registry, for keys and for values, plain and behind every
// transform: scalar and SIMD give the same bytes on every instruction set, sizes are as declared, bad
// values are refused, and no input breaks a decoder.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/codec/registry.h"
#include "tests/unit/kernels/codec/each_target.h"
#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

struct Case {
  std::string name;
  StreamCodec codec;
};

// Every format with a tile codec, as keys and (when they differ) as values.
std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const FormatRow& row : Formats()) {
    if (row.key.id == CodecId::kRaw) continue;
    cases.push_back({std::string(row.name) + "_key", row.key});
    if (!(row.value == row.key)) cases.push_back({std::string(row.name) + "_value", row.value});
  }
  return cases;
}

class CodecConformanceTest : public testing::TestWithParam<Case> {
 protected:
  const TileCodec& codec() const { return *FindTileCodec(GetParam().codec.id); }
};

constexpr uint32_t kHeadDims[] = {64, 80, 96, 128, 256, 576};
constexpr uint32_t kTokens[] = {1, 33, 128};
constexpr uint8_t kTransforms[] = {
    0, kTransformCentre, kTransformUnrope | kTransformCentre | kTransformRotate, kTransformHaar};

CodecParams WithTransform(const StreamCodec& codec, uint8_t transform) {
  CodecParams params = codec.params;
  if ((transform & kTransformHaar) != 0) params.transform &= ~kTransformRotate;
  params.transform |= transform;
  if ((params.transform & kTransformUnrope) != 0) {
    params.rope_pairing = 1;
    params.rope_rotary_dim = 64;
    params.rope_theta = 10'000;
  }
  return params;
}

struct Coded {
  std::vector<std::byte> bytes;  // empty: refused
  std::vector<uint16_t> decoded;
};

Coded RoundTrip(const TileCodec& codec, const CodecParams& params, const RandomTile& tile,
                Isa isa) {
  TileContext context{params, tile.dtype};
  context.layer = 5;
  context.isa = isa;
  std::unique_ptr<RopeTable> rope;
  if ((params.transform & kTransformUnrope) != 0) {
    rope = std::make_unique<RopeTable>(params, 1000, tile.shape.tokens);
    context.rope = rope.get();
  }
  Workspace workspace;
  Coded coded;
  coded.bytes.resize(codec.BytesMax(params, tile.shape));
  const auto bytes =
      codec.Encode(context, tile.shape, tile.source(), workspace, coded.bytes.data());
  if (!bytes) return {};
  EXPECT_LE(*bytes, coded.bytes.size());
  if (codec.FixedSize()) {
    EXPECT_EQ(*bytes, coded.bytes.size());
  }
  coded.bytes.resize(*bytes);
  coded.decoded.resize(tile.elements.size());
  EXPECT_TRUE(codec.Decode(context, tile.shape, coded.bytes, workspace,
                           TargetOf(coded.decoded, tile.shape)));
  return coded;
}

TEST_P(CodecConformanceTest, SimdGivesTheBytesOfTheReference) {
  int compared = 0;
  for (const uint32_t dim : kHeadDims) {
    for (const uint32_t tokens : kTokens) {
      for (const uint8_t transform : kTransforms) {
        const CodecParams params = WithTransform(GetParam().codec, transform);
        const TileShape shape{tokens, dim};
        if (!codec().Accepts(params, shape)) continue;
        const Dtype dtype = (tokens + transform) % 2 == 0 ? Dtype::kBf16 : Dtype::kFp16;
        const RandomTile tile = GaussianTile(shape, dim * 1000 + tokens, transform % 5,
                                             transform % 3 == 0 ? 0.01f : 3.0f, dtype);
        const Coded want = RoundTrip(codec(), params, tile, Isa::kScalar);
        ASSERT_FALSE(want.bytes.empty());
        ForEachTarget([&] {
          const Coded got = RoundTrip(codec(), params, tile, Isa::kSimd);
          ASSERT_EQ(got.bytes, want.bytes) << dim << "x" << tokens << " +" << int{transform};
          ASSERT_EQ(got.decoded, want.decoded) << dim << "x" << tokens << " +" << int{transform};
        });
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 0);
}

TEST_P(CodecConformanceTest, RowsMayStandAnywhere) {
  const TileShape shape{40, 128};
  const CodecParams params = GetParam().codec.params;
  ASSERT_TRUE(codec().Accepts(params, shape));
  const RandomTile tile = GaussianTile(shape, 11);
  const Coded want = RoundTrip(codec(), params, tile, Isa::kSimd);
  // The same rows with another head's between them.
  std::vector<uint16_t> spread(shape.elements() * 3, 0x7FC0), back(spread.size());
  for (uint32_t t = 0; t < shape.tokens; ++t) {
    std::memcpy(&spread[t * 3 * 128], &tile.elements[t * 128], 256);
  }
  SourceRows source;
  source.base = reinterpret_cast<const std::byte*>(spread.data());
  source.token_stride = 3 * 256;
  TileContext context{params};
  context.layer = 5;
  Workspace workspace;
  std::vector<std::byte> out(codec().BytesMax(params, shape));
  const auto bytes = codec().Encode(context, shape, source, workspace, out.data());
  ASSERT_TRUE(bytes);
  out.resize(*bytes);
  EXPECT_EQ(out, want.bytes);
  TargetRows target = TargetOf(back, shape);
  target.token_stride = 3 * 256;
  ASSERT_TRUE(codec().Decode(context, shape, out, workspace, target));
  for (uint32_t t = 0; t < shape.tokens; ++t) {
    ASSERT_EQ(std::memcmp(&back[t * 3 * 128], &want.decoded[t * 128], 256), 0);
    ASSERT_EQ(back[t * 3 * 128 + 128], 0);  // nothing beyond the row
  }
}

TEST_P(CodecConformanceTest, RefusesValuesThatAreNotFiniteOrKeepsThemExactly) {
  const TileShape shape{32, 128};
  const CodecParams params = GetParam().codec.params;
  ASSERT_TRUE(codec().Accepts(params, shape));
  for (const uint16_t bad : {uint16_t{0x7F80}, uint16_t{0xFF80}, uint16_t{0x7FC1}}) {
    RandomTile tile = GaussianTile(shape, 12);
    tile.elements[777] = bad;
    const Coded coded = RoundTrip(codec(), params, tile, Isa::kSimd);
    if (coded.bytes.empty()) continue;
    EXPECT_EQ(FidelityOf(GetParam().codec), Fidelity::kExact);
    EXPECT_EQ(coded.decoded, tile.elements);
  }
}

// The largest and the smallest values of the dtype: coded within reason or refused, never wrong.
TEST_P(CodecConformanceTest, SurvivesExtremeValues) {
  const TileShape shape{32, 128};
  const CodecParams params = GetParam().codec.params;
  ASSERT_TRUE(codec().Accepts(params, shape));
  for (const float scale : {0.0f, 1e-38f, 1e-20f, 1e-6f, 1e4f, 3e4f, 1e10f, 1e30f, 1e37f}) {
    const RandomTile tile = GaussianTile(shape, 13, 0, scale);
    const Coded want = RoundTrip(codec(), params, tile, Isa::kScalar);
    const Coded got = RoundTrip(codec(), params, tile, Isa::kSimd);
    EXPECT_EQ(want.bytes, got.bytes) << scale;
    EXPECT_EQ(want.decoded, got.decoded) << scale;
    for (size_t i = 0; i < want.decoded.size(); ++i) {
      const float read = FloatOfBf16(want.decoded[i]);
      ASSERT_TRUE(std::isfinite(read)) << scale;
      if (scale >= 1e-6f && scale <= 1e4f) {
        ASSERT_LT(std::fabs(read), 16 * scale) << scale;
      }
    }
  }
}

TEST_P(CodecConformanceTest, NoInputBreaksTheDecoder) {
  std::mt19937_64 random(14);
  for (const TileShape shape : {TileShape{33, 64}, TileShape{16, 128}}) {
    const CodecParams params = GetParam().codec.params;
    if (!codec().Accepts(params, shape)) continue;
    const RandomTile tile = GaussianTile(shape, 14);
    const Coded coded = RoundTrip(codec(), params, tile, Isa::kSimd);
    const TileContext context{params};
    Workspace workspace;
    std::vector<uint16_t> out(tile.elements.size());
    for (size_t cut = 0; cut < coded.bytes.size(); cut += 1 + coded.bytes.size() / 64) {
      const std::vector<std::byte> part(coded.bytes.begin(), coded.bytes.begin() + cut);
      EXPECT_FALSE(codec().Decode(context, shape, part, workspace, TargetOf(out, shape)));
    }
    for (int round = 0; round < 300; ++round) {
      std::vector<std::byte> noise = coded.bytes;
      const int flips = round < 150 ? 1 + round / 10 : static_cast<int>(noise.size());
      for (int i = 0; i < flips; ++i) {
        noise[random() % noise.size()] ^= static_cast<std::byte>(1 + random() % 255);
      }
      static_cast<void>(codec().Decode(context, shape, noise, workspace, TargetOf(out, shape)));
    }
  }
}

TEST_P(CodecConformanceTest, RefusesParametersThatItDoesNotWrite) {
  const TileShape shape{64, 128};
  std::mt19937_64 random(15);
  for (int round = 0; round < 400; ++round) {
    CodecParams params = GetParam().codec.params;
    std::byte bytes[sizeof(params)];
    std::memcpy(bytes, &params, sizeof(params));
    bytes[random() % 14] = static_cast<std::byte>(random());
    std::memcpy(&params, bytes, sizeof(params));
    params.transform &= static_cast<uint8_t>(~kTransformUnrope);
    if (!codec().Accepts(params, shape)) continue;
    // Accepted: then it must code and decode.
    ASSERT_LE(codec().BytesMax(params, shape), shape.elements() * 8);
    const Coded coded = RoundTrip(codec(), params, GaussianTile(shape, 16), Isa::kSimd);
    ASSERT_EQ(coded.decoded.size(), shape.elements());
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, CodecConformanceTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace larder
