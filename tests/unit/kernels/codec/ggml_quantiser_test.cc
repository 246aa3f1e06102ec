#include "kernels/codec/ggml_quantiser.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {
namespace {

const DirectCodec& Codec() {
  static const GgmlQuantiser quantiser;
  static const DirectCodec codec(quantiser);
  return codec;
}

CodecParams Params(GgmlFormat format) {
  CodecParams params;
  params.variant = static_cast<uint8_t>(format);
  params.bits = static_cast<uint8_t>(BlockOf(format).bits);
  return params;
}

std::vector<uint8_t> Encoded(const RandomTile& tile, GgmlFormat format) {
  const CodecParams params = Params(format);
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<uint8_t> out(Codec().BytesMax(params, tile.shape));
  const auto bytes = Codec().Encode(context, tile.shape, tile.source(), workspace,
                                    reinterpret_cast<std::byte*>(out.data()));
  if (!bytes) return {};
  EXPECT_EQ(*bytes, out.size());
  return out;
}

std::vector<uint16_t> Decoded(const RandomTile& tile, GgmlFormat format,
                              const std::vector<uint8_t>& in) {
  const CodecParams params = Params(format);
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  std::vector<uint16_t> decoded(tile.elements.size());
  EXPECT_TRUE(Codec().Decode(context, tile.shape, std::as_bytes(std::span(in)), workspace,
                             TargetOf(decoded, tile.shape)));
  return decoded;
}

// One row of 32 values.
RandomTile RowOf(const std::function<float(int)>& value) {
  RandomTile tile{{1, 32}, Dtype::kBf16, std::vector<uint16_t>(32)};
  for (int i = 0; i < 32; ++i) tile.elements[i] = Bf16OfFloat(value(i));
  return tile;
}

// `head`, then byte(0) to byte(count - 1).
std::vector<uint8_t> BlockWith(std::vector<uint8_t> head, int count,
                               const std::function<int(int)>& byte) {
  for (int i = 0; i < count; ++i) head.push_back(static_cast<uint8_t>(byte(i)));
  return head;
}

TEST(GgmlQuantiserTest, WritesGoldenBlocks) {
  // q8_0: the largest is 127, the scale 1. Halves go away from zero: 2.5 is 3, -0.5 is -1.
  const auto q8 = RowOf([](int i) { return i == 0 ? -127.0f : i == 1 ? -0.5f : i + 0.5f; });
  EXPECT_EQ(Encoded(q8, GgmlFormat::kQ8_0),
            BlockWith({0x00, 0x3C, 0x81, 0xFF}, 30, [](int i) { return i + 3; }));
  // q4_0: the largest is -16, the scale 2; code(j) = trunc((j - 16) / 2 + 8.5), at most 15.
  const auto ramp = RowOf([](int i) { return static_cast<float>(i - 16); });
  EXPECT_EQ(Encoded(ramp, GgmlFormat::kQ4_0),
            (std::vector<uint8_t>{0x00, 0x40, 0x80, 0x91, 0x91, 0xA2, 0xA2, 0xB3, 0xB3, 0xC4, 0xC4,
                                  0xD5, 0xD5, 0xE6, 0xE6, 0xF7, 0xF7, 0xF8}));
  // q5_0: the scale 1, code(j) = j; fifth bits of the second half.
  const auto twice = [](int i) { return i << 4 | i; };
  EXPECT_EQ(Encoded(ramp, GgmlFormat::kQ5_0),
            BlockWith({0x00, 0x3C, 0x00, 0x00, 0xFF, 0xFF}, 16, twice));
  // q4_1: from -3 to 12, the scale 1; up in the first half, down in the second.
  const auto hill = RowOf([](int i) { return static_cast<float>(i < 16 ? i - 3 : 28 - i); });
  EXPECT_EQ(Encoded(hill, GgmlFormat::kQ4_1),
            BlockWith({0x00, 0x3C, 0x00, 0xC2}, 16, [](int i) { return (15 - i) << 4 | i; }));
  // q5_1: from -16 to 15, the scale 1.
  EXPECT_EQ(Encoded(ramp, GgmlFormat::kQ5_1),
            BlockWith({0x00, 0x3C, 0x00, 0xCC, 0x00, 0x00, 0xFF, 0xFF}, 16, twice));
  // iq4_nl: the table itself, the scale 1.
  const auto table = RowOf([](int i) { return static_cast<float>(kIq4NlValues[i % 16]); });
  EXPECT_EQ(Encoded(table, GgmlFormat::kIq4Nl), BlockWith({0x00, 0x3C}, 16, twice));
}

TEST(GgmlQuantiserTest, KeepsGoldenValuesExactly) {
  const auto ramp = RowOf([](int i) { return static_cast<float>(i - 16); });
  const auto table = RowOf([](int i) { return static_cast<float>(kIq4NlValues[i % 16]); });
  for (const GgmlFormat format : {GgmlFormat::kQ5_0, GgmlFormat::kQ5_1}) {
    EXPECT_EQ(Decoded(ramp, format, Encoded(ramp, format)), ramp.elements);
  }
  EXPECT_EQ(Decoded(table, GgmlFormat::kIq4Nl, Encoded(table, GgmlFormat::kIq4Nl)), table.elements);
}

TEST(GgmlQuantiserTest, TakesTheSignOfTheFirstLargestValue) {
  for (const int first : {0, 7, 20}) {
    const auto row = RowOf([&](int i) {
      return i == first ? -8.0f : i == 5 || i == 31 ? 8.0f : i % 3 * 1.0f;
    });
    const std::vector<uint8_t> block = Encoded(row, GgmlFormat::kQ4_0);
    EXPECT_EQ(block[1], first < 5 ? 0x3C : 0xBC) << first;  // 1, or -1
  }
}

TEST(GgmlQuantiserTest, WritesZerosAsGgmlDoes) {
  const auto zeros = RowOf([](int) { return 0.0f; });
  const auto nibbles = [](int) { return 0x88; };
  EXPECT_EQ(Encoded(zeros, GgmlFormat::kQ4_0), BlockWith({0x00, 0x80}, 16, nibbles));
  EXPECT_EQ(Encoded(zeros, GgmlFormat::kQ8_0), std::vector<uint8_t>(34, 0));
  EXPECT_EQ(Encoded(zeros, GgmlFormat::kQ4_1), std::vector<uint8_t>(20, 0));
}

TEST(GgmlQuantiserTest, HasTheSizesOfItsFormats) {
  const double bits[kGgmlFormats] = {8.5, 4.5, 5.0, 5.5, 6.0, 4.5};
  for (size_t i = 0; i < kGgmlFormats; ++i) {
    const CodecParams params = Params(static_cast<GgmlFormat>(i));
    EXPECT_EQ(Codec().BytesMax(params, {256, 128}) * 8, 256 * 128 * bits[i]);
    // 5 x 80 values are 12 groups and a half.
    EXPECT_EQ(Codec().BytesMax(params, {5, 80}), 13 * 4 * bits[i]);
  }
}

TEST(GgmlQuantiserTest, HasTheErrorOfGaussianRows) {
  const double errors[kGgmlFormats] = {2.86e-5, 0.00737, 0.00611, 0.00182, 0.00143, 0.00607};
  const RandomTile tile = GaussianTile({1024, 128}, 1, 0, 1.0f, Dtype::kFp16);
  for (size_t i = 0; i < kGgmlFormats; ++i) {
    const auto format = static_cast<GgmlFormat>(i);
    EXPECT_NEAR(RelativeMse(tile, Decoded(tile, format, Encoded(tile, format))), errors[i],
                0.03 * errors[i])
        << i;
  }
}

TEST(GgmlQuantiserTest, FillsTheLastGroupWithZeros) {
  const RandomTile tile = GaussianTile({1, 48}, 2);
  RandomTile longer{{1, 64}, tile.dtype, tile.elements};
  longer.elements.resize(64);
  for (size_t i = 0; i < kGgmlFormats; ++i) {
    const auto format = static_cast<GgmlFormat>(i);
    EXPECT_EQ(Encoded(tile, format), Encoded(longer, format));
  }
}

TEST(GgmlQuantiserTest, RefusesScalesBeyondFp16) {
  RandomTile tile = GaussianTile({4, 32}, 3);
  tile.elements[40] = Bf16OfFloat(8e6f);
  for (size_t i = 0; i < kGgmlFormats; ++i) {
    const bool fits = static_cast<GgmlFormat>(i) == GgmlFormat::kIq4Nl || i == 0;  // over 127
    EXPECT_EQ(Encoded(tile, static_cast<GgmlFormat>(i)).empty(), !fits) << i;
  }
  tile.elements[40] = Bf16OfFloat(-1e30f);
  for (size_t i = 0; i < kGgmlFormats; ++i) {
    EXPECT_TRUE(Encoded(tile, static_cast<GgmlFormat>(i)).empty()) << i;
  }
}

}  // namespace
}  // namespace larder
