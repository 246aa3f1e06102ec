#include "server/transport/guarded_copy.h"

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/copy/block_copy.h"
#include "tests/unit/server/transport/shm_memory.h"

namespace larder::server {
namespace {

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
