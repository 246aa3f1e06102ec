#include "kernels/codec/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/codec/number_formats.h"
#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

const VectorOps& Scalar() { return VectorOpsOf(Isa::kScalar); }

// Values of all magnitudes: normal, subnormal, zero, both signs.
std::vector<float> Mixed(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    const auto bits = static_cast<uint32_t>(random());
    const uint32_t exponent = static_cast<uint32_t>(random() % 40) + 107;  // 2^-20 .. 2^19
    value = FloatOfBits((bits & 0x807FFFFF) | exponent << 23);
    if (random() % 16 == 0) value = 0;
    if (random() % 64 == 0) value = FloatOfBits(bits & 0x807FFFFF);  // subnormal
  }
  return values;
}

template <typename T>
bool SameBytes(const std::vector<T>& left, const std::vector<T>& right) {
  return left.size() == right.size() &&
         std::memcmp(left.data(), right.data(), left.size() * sizeof(T)) == 0;
}

TEST(NumberFormatsTest, Fp8CodesSurviveTheRoundTrip) {
  for (unsigned code = 0; code < 256; ++code) {
    if ((code & 0x7F) != 0x7F) {
      EXPECT_EQ(Fp8E4M3OfFloat(FloatOfFp8E4M3(code)), code);
    }
    if ((code & 0x7F) < 0x7C) {
      EXPECT_EQ(Fp8E5M2OfFloat(FloatOfFp8E5M2(code)), code);
    }
  }
  EXPECT_EQ(FloatOfFp8E4M3(0x7E), 448.0f);
  EXPECT_EQ(FloatOfFp8E4M3(0x01), 0x1p-9f);
  EXPECT_EQ(FloatOfFp8E5M2(0x7B), 57344.0f);
  EXPECT_EQ(FloatOfFp8E5M2(0x01), 0x1p-16f);
}

// For every finite bf16 and fp16 the nearest code is chosen, ties to the even one.
TEST(NumberFormatsTest, Fp8RoundsEveryInputToTheNearestCode) {
  const auto check = [](float value, auto encode, auto decode, unsigned largest) {
    const uint8_t code = encode(value);
    const double magnitude = std::min<double>(std::fabs(value), decode(largest));
    const double error = std::fabs(std::fabs(decode(code)) - magnitude);
    for (const int step : {-1, 1}) {
      const int near = (code & 0x7F) + step;
      if (near < 0 || near > static_cast<int>(largest)) continue;
      const double other = std::fabs(decode(static_cast<uint8_t>(near)) - magnitude);
      ASSERT_LE(error, other) << value;
      if (error == other) {
        ASSERT_EQ(code & 1, 0) << value;
      }
    }
    ASSERT_EQ(code >> 7, std::signbit(value));
  };
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float bf16 = FloatOfBf16(static_cast<uint16_t>(bits));
    if (std::isfinite(bf16)) {
      check(bf16, Fp8E4M3OfFloat, FloatOfFp8E4M3, 0x7E);
      check(bf16, Fp8E5M2OfFloat, FloatOfFp8E5M2, 0x7B);
    }
    if ((bits & 0x7FFF) < kFp16Infinity) {
      const float fp16 = FloatOfFp16(static_cast<uint16_t>(bits));
      check(fp16, Fp8E4M3OfFloat, FloatOfFp8E4M3, 0x7E);
      EXPECT_EQ(Fp16OfFloat(fp16), bits);
    }
  }
}

TEST(NumberFormatsTest, HalvesRoundToEvenAndSaturate) {
  EXPECT_EQ(Fp16OfFloat(65519.0f), 0x7BFF);
  EXPECT_EQ(Fp16OfFloat(1e30f), 0x7BFF);
  EXPECT_EQ(Fp16OfFloat(-1e30f), 0xFBFF);
  EXPECT_EQ(Fp16OfFloat(1.0f + 0x1p-11f), 0x3C00);
  EXPECT_EQ(Fp16OfFloat(1.0f + 0x3p-11f), 0x3C02);
  EXPECT_EQ(Fp16OfFloat(0x1p-25f), 0x0000);
  EXPECT_EQ(Fp16OfFloat(0x1.8p-25f), 0x0001);
  EXPECT_EQ(Bf16OfFloat(1.0f + 0x1p-8f), 0x3F80);
  EXPECT_EQ(Bf16OfFloat(1.0f + 0x3p-8f), 0x3F82);
}

TEST(VectorOpsTest, ConversionsEqualTheScalarOnes) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<uint16_t> finite_fp16;
  for (uint16_t bits : all) {
    if ((bits & 0x7FFF) < kFp16Infinity) finite_fp16.push_back(bits);
  }
  const std::vector<float> mixed = Mixed(4096, 1);
  ForEachTarget([&] {
    const VectorOps& simd = VectorOpsOf(Isa::kSimd);
    std::vector<float> want(all.size()), got(all.size());
    Scalar().widen_bf16(all.data(), want.data(), all.size());
    simd.widen_bf16(all.data(), got.data(), all.size());
    EXPECT_TRUE(SameBytes(want, got));
    want.resize(finite_fp16.size()), got.resize(finite_fp16.size());
    Scalar().widen_fp16(finite_fp16.data(), want.data(), want.size());
    simd.widen_fp16(finite_fp16.data(), got.data(), got.size());
    EXPECT_TRUE(SameBytes(want, got));
    for (const auto narrow : {&VectorOps::narrow_bf16, &VectorOps::narrow_fp16}) {
      std::vector<uint16_t> want16(mixed.size()), got16(mixed.size());
      (Scalar().*narrow)(mixed.data(), want16.data(), mixed.size());
      (simd.*narrow)(mixed.data(), got16.data(), mixed.size());
      EXPECT_TRUE(SameBytes(want16, got16));
    }
  });
}

TEST(VectorOpsTest, ReductionsEqualTheScalarOnes) {
  ForEachTarget([&] {
    const VectorOps& simd = VectorOpsOf(Isa::kSimd);
    for (const size_t count : {16u, 48u, 64u, 80u, 96u, 128u, 256u, 576u}) {
      const std::vector<float> left = Mixed(count, count), right = Mixed(count, count + 1);
      EXPECT_EQ(simd.dot(left.data(), right.data(), count),
                Scalar().dot(left.data(), right.data(), count));
      EXPECT_EQ(simd.max_magnitude(left.data(), count), Scalar().max_magnitude(left.data(), count));
      std::vector<uint16_t> bits(count);
      std::mt19937_64 random(count);
      for (uint16_t& word : bits) word = static_cast<uint16_t>(random());
      EXPECT_EQ(simd.max_magnitude_bits16(bits.data(), count),
                Scalar().max_magnitude_bits16(bits.data(), count));
      const std::vector<float> rows = Mixed(count * 5, count + 2);
      std::vector<float> want(count, 0.5f), got(count, 0.5f);
      Scalar().sum_columns(rows.data(), 5, count, want.data());
      simd.sum_columns(rows.data(), 5, count, got.data());
      EXPECT_TRUE(SameBytes(want, got));
    }
  });
}

TEST(VectorOpsTest, TransformsEqualTheScalarOnes) {
  ForEachTarget([&] {
    const VectorOps& simd = VectorOpsOf(Isa::kSimd);
    for (const size_t count : {16u, 32u, 64u, 128u, 256u, 512u}) {
      std::vector<float> want = Mixed(count, count + 7), got = want;
      Scalar().hadamard(want.data(), count);
      simd.hadamard(got.data(), count);
      EXPECT_TRUE(SameBytes(want, got)) << count;
    }
    for (const size_t count : {16u, 48u, 80u, 128u, 576u}) {
      std::vector<float> want = Mixed(count * 3, count + 7), got = want;
      const std::vector<float> cosines = Mixed(count, 3), sines = Mixed(count, 4);
      const auto run = [&](const VectorOps& ops, std::vector<float>& values) {
        ops.turn_pairs(values.data(), cosines.data(), sines.data(), count / 2, false);
        ops.turn_pairs(values.data(), cosines.data(), sines.data(), count / 2, true);
        ops.add_columns(values.data(), 3, count, cosines.data(), -1.0f);
        ops.scale(values.data(), count, 1.1f);
      };
      run(Scalar(), want);
      run(simd, got);
      EXPECT_TRUE(SameBytes(want, got)) << count;
    }
  });
}

TEST(VectorOpsTest, FusedTurnsEqualTheScalarOnes) {
  ForEachTarget([&] {
    const VectorOps& simd = VectorOpsOf(Isa::kSimd);
    for (const size_t pairs : {8u, 24u, 40u, 64u}) {
      const std::vector<float> row = Mixed(2 * pairs, 1), mean = Mixed(2 * pairs, 2);
      const std::vector<float> cosines = Mixed(pairs, 3), sines = Mixed(pairs, 4);
      const RopeRow rope{cosines.data(), sines.data()};
      std::vector<uint16_t> want(2 * pairs), got(2 * pairs);
      for (const float* means : {static_cast<const float*>(nullptr), mean.data()}) {
        Scalar().turn_narrow_bf16(row.data(), means, rope, pairs, want.data());
        simd.turn_narrow_bf16(row.data(), means, rope, pairs, got.data());
        EXPECT_TRUE(SameBytes(want, got)) << pairs;
      }
      std::vector<float> want_row(2 * pairs), got_row(2 * pairs);
      Scalar().widen_turn_bf16(want.data(), rope, pairs, want_row.data());
      simd.widen_turn_bf16(want.data(), rope, pairs, got_row.data());
      EXPECT_TRUE(SameBytes(want_row, got_row)) << pairs;
    }
  });
}

TEST(VectorOpsTest, HadamardTwiceMultipliesByTheSize) {
  std::vector<float> values(64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 20;
  const std::vector<float> before = values;
  Scalar().hadamard(values.data(), values.size());
  Scalar().hadamard(values.data(), values.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], before[i] * 64);
}

}  // namespace
}  // namespace larder
