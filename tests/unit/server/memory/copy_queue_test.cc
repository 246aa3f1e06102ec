#include "server/memory/copy_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace larder::server {
namespace {

TEST(CopyQueueTest, RunsCopiesInTheirOrderOnOneThread) {
  std::vector<uint64_t> ran;
  std::promise<void> last;
  CopyQueue queue(100, [&](const DeviceCopy& copy) {
    ran.push_back(copy.device[0].offset);
    return CopyEnd::kDone;
  });
  for (uint64_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(queue.Push({{{i, 1}}, {}, [&, i](CopyEnd end) {
                              EXPECT_EQ(end, CopyEnd::kDone);
                              if (i == 49) last.set_value();
                            }}));
  }
  last.get_future().wait();
  for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(ran[i], i);
}

TEST(CopyQueueTest, IsBounded) {
  std::promise<void> begun, go_on;
  std::atomic<int> ended = 0;
  CopyQueue queue(3, [&, first = true](const DeviceCopy&) mutable {
    if (std::exchange(first, false)) {
      begun.set_value();
      go_on.get_future().wait();
    }
    return CopyEnd::kDone;
  });
  const auto count = [&](CopyEnd end) { ended += end == CopyEnd::kDone; };
  ASSERT_TRUE(queue.Push({{}, {}, count}));
  begun.get_future().wait();  // it runs, and waits no longer
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(queue.Push({{}, {}, count}));
  EXPECT_FALSE(queue.Push({{}, {}, count}));
  EXPECT_EQ(queue.size(), 3u);
  go_on.set_value();
  while (ended < 4) std::this_thread::yield();
}

TEST(CopyQueueTest, FailsWhatStillWaitsAtItsEnd) {
  int ran = 0, done = 0, failed = 0;
  std::atomic<int> pushed = 1;
  const auto count = [&](CopyEnd end) { ++(end == CopyEnd::kDone ? done : failed); };
  std::promise<CopyQueue*> made;
  std::promise<void> begun;
  {
    CopyQueue queue(1'000'000, [&, queue = made.get_future().share()](const DeviceCopy&) {
      if (++ran == 1) begun.set_value();
      CopyQueue* const waits = queue.get();
      // Until the destructor has begun: then nothing more is taken.
      for (; waits->Push({{}, {}, count}); ++pushed) std::this_thread::yield();
      return CopyEnd::kDone;
    });
    ASSERT_TRUE(queue.Push({{}, {}, count}));
    made.set_value(&queue);
    begun.get_future().wait();
    ASSERT_TRUE(queue.Push({{}, {}, count}));
    ++pushed;
  }
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(done, 1);
  EXPECT_GE(failed, 1);
  EXPECT_EQ(done + failed, pushed.load());
}

}  // namespace
}  // namespace larder::server
