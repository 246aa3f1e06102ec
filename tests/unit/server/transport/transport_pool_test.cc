#include "server/transport/transport_pool.h"

#include <atomic>
#include <future>
#include <set>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace larder::server {
namespace {

TEST(TransportPoolTest, RunsEveryTaskAlsoThoseThatAreQueuedWhenItEnds) {
  std::atomic<int> ran{0};
  {
    TransportPool pool(2);
    for (int i = 0; i < 1000; ++i) pool.Post(&pool, [&] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(TransportPoolTest, TwoCallsShareAThreadStepByStep) {
  std::string order;
  std::promise<void> start;
  std::function<void(char, int)> step;
  {
    TransportPool pool(1);
    step = [&](char name, int left) {
      order += name;
      if (left > 1) pool.Post(&step, [&step, name, left] { step(name, left - 1); });
    };
    pool.Post(&step, [&] { start.get_future().wait(); });
    pool.Post(&step, [&] { step('a', 3); });
    pool.Post(&step, [&] { step('b', 3); });
    EXPECT_TRUE(pool.contended());
    start.set_value();
  }
  EXPECT_EQ(order, "ababab");
}

TEST(TransportPoolTest, WindowsTakeTurnsWhateverTheNumberOfTheirCalls) {
  std::string order;
  std::promise<void> start;
  {
    TransportPool pool(1);
    const int many = 0, few = 0;
    pool.Post(&pool, [&] { start.get_future().wait(); });
    for (int i = 0; i < 4; ++i) pool.Post(&many, [&] { order += 'm'; });
    for (int i = 0; i < 2; ++i) pool.Post(&few, [&] { order += 'f'; });
    start.set_value();
  }
  EXPECT_EQ(order, "mfmfmm");
}

}  // namespace
}  // namespace larder::server
