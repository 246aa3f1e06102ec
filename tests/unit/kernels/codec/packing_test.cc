#include "kernels/codec/packing.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/unit/kernels/codec/each_target.h"

namespace larder {
namespace {

TEST(PackingTest, PacksAndUnpacksEveryWidth) {
  for (unsigned bits = 1; bits <= 8; ++bits) {
    std::mt19937_64 random(bits);
    std::vector<uint8_t> codes(320);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random() & ((1u << bits) - 1));
    std::vector<uint8_t> want(PackedBytes(codes.size(), bits)), back(codes.size());
    PackingOpsOf(Isa::kScalar).pack(codes.data(), bits, want.data(), codes.size());
    PackingOpsOf(Isa::kScalar).unpack(want.data(), bits, back.data(), codes.size());
    EXPECT_EQ(codes, back) << bits;
    ForEachTarget([&] {
      const PackingOps& simd = PackingOpsOf(Isa::kSimd);
      std::vector<uint8_t> got(want.size()), read(codes.size());
      simd.pack(codes.data(), bits, got.data(), codes.size());
      simd.unpack(want.data(), bits, read.data(), codes.size());
      EXPECT_EQ(want, got) << bits;
      EXPECT_EQ(codes, read) << bits;
    });
  }
}

TEST(PackingTest, PacksInTheDocumentedOrder) {
  std::vector<uint8_t> codes(32, 0);
  codes[0] = 1, codes[1] = 2, codes[9] = 4;
  uint8_t out[32];
  PackingOpsOf(Isa::kScalar).pack(codes.data(), 4, out, 32);
  EXPECT_EQ(out[0], 0x21);
  PackingOpsOf(Isa::kScalar).pack(codes.data(), 2, out, 16);
  EXPECT_EQ(out[0], 0x09);
  PackingOpsOf(Isa::kScalar).pack(codes.data(), 3, out, 32);
  EXPECT_EQ(out[0], 0x01);  // plane of bit 0: code 0
  EXPECT_EQ(out[4], 0x02);  // plane of bit 1: code 1
  EXPECT_EQ(out[9], 0x02);  // plane of bit 2: code 9
}

}  // namespace
}  // namespace larder
