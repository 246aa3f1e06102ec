#include "server/transport/guarded_copy.h"

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/server/transport/shm_memory.h"

namespace larder::server {
namespace {

TEST(GuardedCopyTest, CopiesEverySizeExactly) {
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

TEST(GuardedCopyTest, AnAccessBehindTheEndOfTheFileEndsInsteadOfTheProcess) {
  ShmMemory memory(1 << 20, 0);
  std::vector<std::byte> ours(1 << 20, std::byte{1});
  EXPECT_TRUE(Guarded([&] { CopyBlock(memory.data(), ours.data(), ours.size()); }));
  ASSERT_EQ(::ftruncate(memory.fd(), 4096), 0);
  for (int i = 0; i < 3; ++i) {  // the handler works again and again
    EXPECT_FALSE(Guarded([&] { CopyBlock(memory.data(), ours.data(), ours.size()); }));
    EXPECT_FALSE(Guarded([&] { StreamBlock(memory.data(), ours.data(), ours.size()); }));
    EXPECT_FALSE(Guarded([&] { CopyBlock(ours.data(), memory.data(), ours.size()); }));
    EXPECT_TRUE(Guarded([&] { CopyBlock(memory.data(), ours.data(), 4096); }));
  }
}

TEST(GuardedCopyTest, EveryThreadLeavesItsOwnAccess) {
  ShmMemory memory(1 << 20, 0);
  ASSERT_EQ(::ftruncate(memory.fd(), 1 << 19), 0);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::byte> ours(1 << 20);
      for (int i = 0; i < 50; ++i) {
        const bool good = (t + i) % 2 == 0;
        if (Guarded([&] { CopyBlock(ours.data(), memory.data(), good ? 1 << 19 : 1 << 20); }) !=
            good) {
          ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(GuardedCopyDeathTest, OutsideOfAGuardedAccessTheSignalIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ShmMemory memory(8192, 0);
        Guarded([] {});
        if (::ftruncate(memory.fd(), 0) == 0) {
          *const_cast<volatile std::byte*>(memory.data()) = std::byte{1};
        }
      },
      "");
}

}  // namespace
}  // namespace larder::server
