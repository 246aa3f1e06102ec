#include "kernels/codec/fp8_ops.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

constexpr Fp8Format kFormats[] = {Fp8Format::kE4M3, Fp8Format::kE5M2};
constexpr ElementType kTypes[] = {ElementType::kF32, ElementType::kBf16, ElementType::kFp16};

// Every finite bf16 or fp16 value, or as many fp32 ones.
std::vector<std::byte> Values(ElementType type) {
  std::vector<uint16_t> bits;
  const uint32_t infinity = type == ElementType::kFp16 ? kFp16Infinity : kBf16Infinity;
  for (uint32_t i = 0; i < 65536; ++i) {
    if ((i & 0x7FFF) < infinity) bits.push_back(static_cast<uint16_t>(i));
  }
  std::vector<std::byte> bytes(bits.size() * (type == ElementType::kF32 ? 4 : 2));
  for (size_t i = 0; i < bits.size(); ++i) {
    if (type == ElementType::kF32) {
      const float value = FloatOfBits(uint32_t{bits[i]} << 16 | (i * 2654435761u & 0xFFFF));
      std::memcpy(bytes.data() + i * 4, &value, 4);
    } else {
      std::memcpy(bytes.data() + i * 2, &bits[i], 2);
    }
  }
  return bytes;
}

TEST(Fp8OpsTest, SimdEqualsScalarForEveryValue) {
  for (const ElementType type : kTypes) {
    const std::vector<std::byte> values = Values(type);
    const size_t count = values.size() / (type == ElementType::kF32 ? 4 : 2);
    ASSERT_EQ(count % 16, 0u);
    for (const Fp8Format format : kFormats) {
      for (const float factor : {1.0f, 0.37f, 0x1p-100f, 0x1p20f}) {
        std::vector<uint8_t> want(count);
        Fp8OpsOf(Isa::kScalar).encode(format, type, values.data(), factor, want.data(), count);
        ForEachTarget([&] {
          std::vector<uint8_t> got(count);
          Fp8OpsOf(Isa::kSimd).encode(format, type, values.data(), factor, got.data(), count);
          ASSERT_EQ(got, want);
        });
      }
    }
  }
}

TEST(Fp8OpsTest, SimdEqualsScalarForEveryCode) {
  std::vector<uint8_t> codes(256);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i);
  for (const ElementType type : kTypes) {
    for (const Fp8Format format : kFormats) {
      for (const float scale : {1.0f, 1.7f, 0x1p-130f, 0x1p90f}) {
        std::vector<std::byte> want(256 * 4), got(256 * 4);
        Fp8OpsOf(Isa::kScalar).decode(format, type, codes.data(), scale, want.data(), 256);
        ForEachTarget([&] {
          Fp8OpsOf(Isa::kSimd).decode(format, type, codes.data(), scale, got.data(), 256);
          ASSERT_EQ(got, want);
        });
      }
    }
  }
}

}  // namespace
}  // namespace larder
