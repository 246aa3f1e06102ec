#include "transport/ucx_mailbox.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace larder::transport {
namespace {

TEST(UcxMailboxTest, RunsEveryTaskOnceInOrder) {
  UcxMailbox mailbox;
  std::vector<int> ran;
  EXPECT_FALSE(mailbox.Run());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(mailbox.Post([&ran, i] { ran.push_back(i); }));
  EXPECT_TRUE(mailbox.Run());
  EXPECT_FALSE(mailbox.Run());
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2}));
}

TEST(UcxMailboxTest, TakesNothingAfterShut) {
  UcxMailbox mailbox;
  mailbox.Shut();
  EXPECT_FALSE(mailbox.Post([] { FAIL(); }));
  EXPECT_FALSE(mailbox.Run());
}

TEST(UcxMailboxTest, ShutLetsGoOfWhatWaits) {
  UcxMailbox mailbox;
  const auto held = std::make_shared<int>(1);
  mailbox.Post([held] {});
  EXPECT_EQ(held.use_count(), 2);
  mailbox.Shut();
  EXPECT_EQ(held.use_count(), 1);
}

// A reader that sleeps between two looks misses no task, however the posts fall.
TEST(UcxMailboxTest, WakesASleeperForEveryPost) {
  constexpr int kTasks = 20'000;
  UcxMailbox mailbox;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, mailbox.fd(), &event), 0);
  std::thread poster([&] {
    for (int i = 0; i < kTasks; ++i) mailbox.Post([] {});
  });
  int ran = 0;
  std::atomic<int> count{0};
  std::thread second([&] {
    for (int i = 0; i < kTasks; ++i) mailbox.Post([&count] { ++count; });
    mailbox.Post([&ran] { ran = 1; });
  });
  while (ran == 0) {
    if (mailbox.Run()) continue;
    ASSERT_EQ(epoll_wait(epoll, &event, 1, 20'000), 1) << "a post was missed";
  }
  poster.join();
  second.join();
  EXPECT_EQ(count, kTasks);
  close(epoll);
}

}  // namespace
}  // namespace larder::transport
