#include "kernels/codec/lossless_codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <optional>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

std::vector<std::byte> Encode(const RandomTile& tile) {
  const CodecParams params;
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  const LosslessCodec codec;
  std::vector<std::byte> out(codec.BytesMax(params, tile.shape));
  const auto bytes = codec.Encode(context, tile.shape, tile.source(), workspace, out.data());
  EXPECT_TRUE(bytes.has_value());
  out.resize(bytes.value_or(0));
  return out;
}

// nullopt when the decoder refuses.
std::optional<std::vector<uint16_t>> Decode(const RandomTile& tile,
                                            const std::vector<std::byte>& in) {
  const CodecParams params;
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<uint16_t> decoded(tile.elements.size());
  if (!LosslessCodec().Decode(context, tile.shape, in, workspace, TargetOf(decoded, tile.shape))) {
    return std::nullopt;
  }
  return decoded;
}

double BitsPerElement(TileShape shape, Dtype dtype) {
  const RandomTile tile = GaussianTile(shape, 1, 0, 1.0f, dtype);
  const std::vector<std::byte> coded = Encode(tile);
  EXPECT_EQ(Decode(tile, coded), tile.elements);
  return static_cast<double>(coded.size()) * 8 / static_cast<double>(shape.elements());
}

TEST(LosslessCodecTest, HasTheSizeOfGaussianExponents) {
  for (const uint32_t tokens : {16u, 64u, 256u}) {
    const double bf16 = BitsPerElement({tokens, 128}, Dtype::kBf16);
    const double fp16 = BitsPerElement({tokens, 128}, Dtype::kFp16);
    RecordProperty("bf16_bits_" + std::to_string(tokens), std::to_string(bf16));
    RecordProperty("fp16_bits_" + std::to_string(tokens), std::to_string(fp16));
    EXPECT_GE(bf16, 10.5);
    EXPECT_LE(bf16, 10.9);
    EXPECT_GE(fp16, 13.5);
    EXPECT_LE(fp16, 13.9);
  }
}

TEST(LosslessCodecTest, KeepsEveryPattern) {
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kFp16}) {
    RandomTile tile{{512, 128}, dtype, std::vector<uint16_t>(65'536)};
    std::iota(tile.elements.begin(), tile.elements.end(), uint16_t{0});
    const std::vector<std::byte> coded = Encode(tile);
    EXPECT_LE(coded.size(), 131'072u);  // equal exponents: nothing to gain, nothing lost
    EXPECT_EQ(Decode(tile, coded), tile.elements);
    // Each pattern among Gaussian values, so that the coded form carries it.
    for (uint32_t begin = 0; begin < 65'536; begin += 2048) {
      RandomTile mixed = GaussianTile({128, 128}, begin, 0, 1.0f, dtype);
      for (uint32_t i = 0; i < 2048; ++i) {
        mixed.elements[i * 8 + 3] = static_cast<uint16_t>(begin + i);
      }
      const std::vector<std::byte> bytes = Encode(mixed);
      EXPECT_LT(bytes.size(), 32'768u);
      ASSERT_EQ(Decode(mixed, bytes), mixed.elements);
    }
  }
}

TEST(LosslessCodecTest, StoresNoiseRawAndConstantsAlmostFree) {
  RandomTile noise = GaussianTile({32, 64}, 2);
  std::mt19937_64 random(3);
  for (uint16_t& element : noise.elements) element = static_cast<uint16_t>(random());
  std::vector<std::byte> coded = Encode(noise);
  ASSERT_EQ(coded.size(), 4096u);
  EXPECT_EQ(std::memcmp(coded.data(), noise.elements.data(), 4096), 0);
  EXPECT_EQ(Decode(noise, coded), noise.elements);

  RandomTile zero{{32, 64}, Dtype::kBf16, std::vector<uint16_t>(2048)};
  coded = Encode(zero);
  // Sign and mantissa, [0][0] and one width and frequency, 8 states.
  EXPECT_EQ(coded.size(), 2048u + 4u + 32u);
  EXPECT_EQ(Decode(zero, coded), zero.elements);
}

TEST(LosslessCodecTest, CodesOddShapesAndSingleRows) {
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kFp16}) {
    for (const TileShape shape : {TileShape{1, 16}, TileShape{3, 80}, TileShape{250, 576}}) {
      const RandomTile tile = GaussianTile(shape, 4, 3, 0.1f, dtype);
      EXPECT_EQ(Decode(tile, Encode(tile)), tile.elements);
    }
  }
}

TEST(LosslessCodecTest, RefusesTablesThatAreNotWellFormed) {
  const RandomTile tile = GaussianTile({64, 64}, 5);
  const std::vector<std::byte> coded = Encode(tile);
  ASSERT_TRUE(Decode(tile, coded));
  const size_t table = 64 * 64;
  for (size_t at = table; at < table + 8; ++at) {
    for (int value = 0; value < 256; ++value) {
      std::vector<std::byte> damaged = coded;
      damaged[at] = static_cast<std::byte>(value);
      if (damaged == coded) continue;
      EXPECT_FALSE(Decode(tile, damaged)) << at << " " << value;
    }
  }
}

TEST(LosslessCodecTest, AcceptsNoTransform) {
  CodecParams params;
  EXPECT_TRUE(LosslessCodec().Accepts(params, {16, 64}));
  EXPECT_FALSE(LosslessCodec().Accepts(params, {16, 40}));
  EXPECT_FALSE(LosslessCodec().Accepts(params, {0, 64}));
  params.transform = kTransformRotate;
  EXPECT_FALSE(LosslessCodec().Accepts(params, {16, 64}));
}

}  // namespace
}  // namespace larder
