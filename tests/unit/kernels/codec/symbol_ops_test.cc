#include "kernels/codec/symbol_ops.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

constexpr size_t kPatterns = 65'536;

std::vector<uint16_t> AllPatterns() {
  std::vector<uint16_t> values(kPatterns);
  std::iota(values.begin(), values.end(), uint16_t{0});
  return values;
}

struct Planes {
  std::vector<uint8_t> exponents = std::vector<uint8_t>(kPatterns);
  std::vector<uint8_t> low = std::vector<uint8_t>(kPatterns);
  std::vector<uint8_t> high = std::vector<uint8_t>(kPatterns);
  bool operator==(const Planes&) const = default;
};

TEST(SymbolOpsTest, SplitsEveryBf16PatternAndMergesItBack) {
  const std::vector<uint16_t> values = AllPatterns();
  Planes want;
  SymbolOpsOf(Isa::kScalar)
      .split_bf16(values.data(), want.exponents.data(), want.low.data(), kPatterns);
  EXPECT_EQ(want.exponents[0xBF81], 127);  // -1.0078125
  EXPECT_EQ(want.low[0xBF81], 0x81);
  const auto check = [&](Isa isa) {
    const SymbolOps& ops = SymbolOpsOf(isa);
    Planes got;
    ops.split_bf16(values.data(), got.exponents.data(), got.low.data(), kPatterns);
    EXPECT_EQ(got, want);
    std::vector<uint16_t> back(kPatterns);
    ops.merge_bf16(want.exponents.data(), want.low.data(), back.data(), kPatterns);
    EXPECT_EQ(back, values);
  };
  check(Isa::kScalar);
  ForEachTarget([&] { check(Isa::kSimd); });
}

TEST(SymbolOpsTest, SplitsEveryFp16PatternAndMergesItBack) {
  const std::vector<uint16_t> values = AllPatterns();
  Planes want;
  SymbolOpsOf(Isa::kScalar)
      .split_fp16(values.data(), want.exponents.data(), want.low.data(), want.high.data(),
                  kPatterns);
  EXPECT_EQ(want.exponents[0xBF81], 15);
  EXPECT_EQ(want.low[0xBF81], 0x81);
  EXPECT_EQ(want.high[0xBF81], 7);
  const auto check = [&](Isa isa) {
    const SymbolOps& ops = SymbolOpsOf(isa);
    Planes got;
    ops.split_fp16(values.data(), got.exponents.data(), got.low.data(), got.high.data(), kPatterns);
    EXPECT_EQ(got, want);
    std::vector<uint16_t> back(kPatterns);
    ops.merge_fp16(want.exponents.data(), want.low.data(), want.high.data(), back.data(),
                   kPatterns);
    EXPECT_EQ(back, values);
  };
  check(Isa::kScalar);
  ForEachTarget([&] { check(Isa::kSimd); });
}

TEST(SymbolOpsTest, RoundsHalfToEvenAndClamps) {
  const std::vector<float> values = {0.0f, 1.0f,  -1.0f, 3.0f,  5.0f,  -3.0f, 1e30f,  -1e30f,
                                     2.9f, -2.9f, 30.0f, 31.0f, 99.0f, -99.f, 1e-30f, -0.0f};
  const std::vector<uint8_t> want = {15, 15, 15, 17, 17, 13, 30, 0, 16, 14, 30, 30, 30, 0, 15, 15};
  const auto check = [&](Isa isa) {
    std::vector<uint8_t> got(16);
    SymbolOpsOf(isa).quantise(values.data(), 0.5f, 15, got.data(), 16);
    EXPECT_EQ(got, want);
  };
  check(Isa::kScalar);
  ForEachTarget([&] { check(Isa::kSimd); });
}

TEST(SymbolOpsTest, LooksUpAndScales) {
  float table[64];
  for (int i = 0; i < 64; ++i) table[i] = static_cast<float>(i) / 3 - 10;
  for (const size_t entries : {16, 32, 48, 64}) {
    std::mt19937_64 random(entries);
    std::vector<uint8_t> symbols(480);
    for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(random() % entries);
    const auto check = [&](Isa isa) {
      std::vector<float> out(symbols.size());
      SymbolOpsOf(isa).look_up(symbols.data(), table, entries, 0.3f, out.data(), out.size());
      for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], table[symbols[i]] * 0.3f);
    };
    check(Isa::kScalar);
    ForEachTarget([&] { check(Isa::kSimd); });
  }
}

}  // namespace
}  // namespace larder
