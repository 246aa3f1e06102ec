#include "server/base/byte_budget.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace larder::server {
namespace {

TEST(ByteBudgetTest, RefusesWhatWouldExceedTheBoundAndTakesItBackOnRelease) {
  ByteBudget budget(100);
  auto first = budget.Take(60);
  ASSERT_TRUE(first);
  EXPECT_FALSE(budget.Take(41));
  EXPECT_FALSE(budget.Take(UINT64_MAX));
  {
    auto second = budget.Take(40);
    ASSERT_TRUE(second);
    EXPECT_EQ(budget.used(), 100u);
    *first = {};
    EXPECT_EQ(budget.used(), 40u);
  }
  EXPECT_EQ(budget.used(), 0u);
}

TEST(ByteBudgetTest, NeverExceedsTheBoundUnderContention) {
  ByteBudget budget(10);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        const auto grant = budget.Take(3);
        if (budget.used() > 10) over = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(budget.used(), 0u);
}

}  // namespace
}  // namespace larder::server
