#include "kernels/codec/symbol_codec.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/codec/cachegen_quantiser.h"
#include "kernels/codec/uniform_quantiser.h"
#include "tests/unit/kernels/codec/symbol_fixture.h"

namespace larder {
namespace {

CodecParams Params(uint8_t bits, uint8_t transform) {
  CodecParams params;
  params.bits = bits;
  params.transform = transform;
  return params;
}

TEST(SymbolCodecTest, PutsTheMeanTheSideValuesAndTheStreamInOrder) {
  const UniformQuantiser quantiser;
  const RandomTile tile = GaussianTile({33, 64}, 1, 2);
  const uint8_t both = kTransformRotate | kTransformCentre;
  const CodedTile coded = RoundTrip(quantiser, tile, Params(3, both));
  uint16_t mean, scale, padding;
  std::memcpy(&mean, coded.bytes.data(), 2);
  EXPECT_NEAR(FloatOfFp16(mean), 12.0f, 1.0f);
  std::memcpy(&scale, coded.bytes.data() + 128, 2);
  EXPECT_NEAR(FloatOfFp16(scale), 8.0f, 3.0f);  // |x|, 64 channels of variance 1
  std::memcpy(&padding, coded.bytes.data() + 128 + 66, 2);
  EXPECT_EQ(padding, 0);
  // A stream of its own: decodes by the quantiser's tables.
  RansTables tables;
  Workspace workspace;
  const CodecParams params = Params(3, both);
  const SymbolContext context{params, tile.shape, Isa::kSimd, workspace};
  ASSERT_TRUE(quantiser.Tables(context, coded.bytes.data() + 128, &tables));
  std::vector<uint8_t> symbols(tile.elements.size());
  EXPECT_TRUE(RansOpsOf(Isa::kSimd)
                  .decode(tables, std::span(coded.bytes).subspan(128 + 68), symbols.data(),
                          symbols.size()));
  for (const uint8_t symbol : symbols) EXPECT_LT(symbol, 15);
}

TEST(SymbolCodecTest, RefusesEveryTruncationAndMostDamage) {
  const CacheGenQuantiser quantiser;
  const SymbolCodec codec(quantiser);
  const RandomTile tile = GaussianTile({33, 64}, 2);
  const CodecParams params = Params(5, 0);
  const CodedTile coded = RoundTrip(quantiser, tile, params);
  Workspace workspace;
  std::vector<uint16_t> out(tile.elements.size());
  for (size_t cut = 0; cut < coded.bytes.size(); ++cut) {
    const auto part = std::span(coded.bytes).first(cut);
    ASSERT_FALSE(codec.Decode({params}, tile.shape, part, workspace, TargetOf(out, tile.shape)));
  }
  const size_t stream = quantiser.SideBytes(params, tile.shape);
  int accepted = 0;
  for (size_t at = stream; at < coded.bytes.size(); ++at) {
    std::vector<std::byte> damaged = coded.bytes;
    damaged[at] ^= std::byte{0x10};
    accepted += codec.Decode({params}, tile.shape, damaged, workspace, TargetOf(out, tile.shape));
  }
  EXPECT_LE(accepted, 2);
}

TEST(SymbolCodecTest, RefusesValuesThatAreNotFinite) {
  const CacheGenQuantiser quantiser;
  const SymbolCodec codec(quantiser);
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kFp16}) {
    RandomTile tile = GaussianTile({16, 64}, 3, 0, 1.0f, dtype);
    tile.elements[100] = dtype == Dtype::kBf16 ? 0xFF80 : 0x7C00;
    const CodecParams params = Params(5, 0);
    Workspace workspace;
    std::vector<std::byte> out(codec.BytesMax(params, tile.shape));
    EXPECT_FALSE(codec.Encode({params, dtype}, tile.shape, tile.source(), workspace, out.data()));
  }
}

}  // namespace
}  // namespace larder
