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
    for (int i = 0; i < 1000; ++i) pool.Post([&] { ++ran; });
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
      if (left > 1) pool.Post([&step, name, left] { step(name, left - 1); });
    };
    pool.Post([&] { start.get_future().wait(); });
    pool.Post([&] { step('a', 3); });
    pool.Post([&] { step('b', 3); });
    EXPECT_TRUE(pool.contended());
    start.set_value();
  }
  EXPECT_EQ(order, "ababab");
}

}  // namespace
}  // namespace larder::server
