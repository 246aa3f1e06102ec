#include "kernels/copy/block_copy.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace larder {
namespace {

TEST(BlockCopyTest, CopiesEverySizeExactly) {
  std::mt19937 random(1);
  std::vector<std::byte> source(200'000);
  for (std::byte& byte : source) byte = static_cast<std::byte>(random());
  for (const size_t bytes : {0u, 1u, 63u, 4096u, 16383u, 16384u, 16385u, 131072u, 199'999u}) {
    for (const auto copy : {CopyBlock, StreamBlock}) {
      for (const size_t shift : {0u, 7u, 48u}) {
        std::vector<std::byte> target(bytes + 256, std::byte{0xEE});
        std::byte* const to = target.data() + 64 + shift;
        copy(to, source.data() + 1, bytes);
        EXPECT_EQ(std::memcmp(to, source.data() + 1, bytes), 0) << bytes;
        EXPECT_EQ(to[-1], std::byte{0xEE});
        EXPECT_EQ(to[bytes], std::byte{0xEE}) << bytes;
      }
    }
  }
}

TEST(BlockCopyTest, WhatBouncesStandsInBothPlaces) {
  std::mt19937 random(2);
  std::vector<std::byte> source(8192);
  for (std::byte& byte : source) byte = static_cast<std::byte>(random());
  for (const size_t bytes : {0u, 1u, 63u, 64u, 65u, 127u, 4095u, 4096u, 4097u}) {
    for (const size_t shift : {0u, 1u, 16u, 63u}) {
      std::vector<std::byte> target(bytes + 256, std::byte{0xEE});
      std::vector<std::byte> bounce(bytes + 1, std::byte{0xEE});
      std::byte* const to = target.data() + 64 + shift;
      StreamThrough(to, bounce.data(), source.data() + 3, bytes);
      EndStreaming();
      EXPECT_EQ(std::memcmp(to, source.data() + 3, bytes), 0) << bytes;
      EXPECT_EQ(std::memcmp(bounce.data(), source.data() + 3, bytes), 0) << bytes;
      EXPECT_EQ(to[-1], std::byte{0xEE});
      EXPECT_EQ(to[bytes], std::byte{0xEE}) << bytes;
      EXPECT_EQ(bounce[bytes], std::byte{0xEE}) << bytes;
    }
  }
}

#if !defined(LARDER_THREAD_SANITIZER)
// A race on purpose: the source belongs to somebody else.
TEST(BlockCopyTest, WhatBouncesIsWhatStandsThereThoughTheSourceChanges) {
  constexpr size_t kBytes = 4096;
  std::vector<std::byte> source(kBytes), target(kBytes), bounce(kBytes);
  const std::jthread changes([&](const std::stop_token& stop) {
    for (uint8_t value = 0; !stop.stop_requested(); ++value) {
      for (size_t at = 0; at < kBytes; at += 64) {
        std::atomic_ref(source[at]).store(std::byte{value}, std::memory_order_relaxed);
      }
    }
  });
  for (int round = 0; round < 20'000; ++round) {
    StreamThrough(target.data(), bounce.data(), source.data(), kBytes);
    EndStreaming();
    ASSERT_EQ(target, bounce);
  }
}
#endif

}  // namespace
}  // namespace larder
