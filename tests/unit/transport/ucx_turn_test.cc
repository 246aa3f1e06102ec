// The right to run a worker on the thread that waits (UcxWorker::Turn): who calls back, and that nothing is missed when it changes hands.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "tests/unit/transport/ucx_pair.h"

namespace larder::transport {
namespace {

constexpr auto kLong = 20s;

TEST(UcxTurnTest, CallsBackOnTheThreadThatHasIt) {
  UcxPair pair;
  std::atomic<std::thread::id> heard_on;
  std::atomic<int> heard{0};
  pair.client_hear = [&](std::string_view) {
    heard_on = std::this_thread::get_id();
    ++heard;
    return true;
  };
  ASSERT_TRUE(pair.Connect().ok());
  {
    UcxWorker::Turn turn(*pair.client_worker);
    ASSERT_TRUE(turn.taken());
    pair.server->Tell("text");
    EXPECT_TRUE(turn.Until(In(kLong), [&] { return heard > 0; }));
    EXPECT_EQ(heard_on.load(), std::this_thread::get_id());
    std::thread([&] {
      UcxWorker::Turn second(*pair.client_worker);
      EXPECT_FALSE(second.taken());
    }).join();
  }
  pair.server->Tell("text");
  const auto give_up = In(kLong);
  while (heard < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
  EXPECT_EQ(heard, 2);
  EXPECT_NE(heard_on.load(), std::this_thread::get_id());
}

TEST(UcxTurnTest, EndsAtItsTime) {
  UcxPair pair;
  ASSERT_TRUE(pair.Connect().ok());
  UcxWorker::Turn turn(*pair.client_worker);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(turn.Until(In(30ms), [] { return false; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
}

// What another thread posts wakes its sleeping holder.
TEST(UcxTurnTest, SleepsNotThroughAPost) {
  UcxPair pair;
  std::atomic<int> heard{0};
  pair.hear = [&](std::string_view) { return ++heard > 0; };
  ASSERT_TRUE(pair.Connect().ok());
  std::atomic<bool> over{false};
  std::thread holder([&] {
    UcxWorker::Turn turn(*pair.client_worker);
    EXPECT_TRUE(turn.Until(In(kLong), [&] { return over.load(); }));
  });
  for (int i = 0; i < 200; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(i % 5 * 100));
    const int before = heard;
    pair.client->Tell("text");
    const auto give_up = In(kLong);
    while (heard == before && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    ASSERT_EQ(heard, before + 1);
  }
  over = true;
  pair.client->Tell("the last");
  holder.join();
}

// Many threads call, with a turn or waiting for the worker's thread, leave it to the next or to nobody: every block arrives.
TEST(UcxTurnTest, NothingIsMissedWhenItChangesHands) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 300;
  constexpr size_t kBytes = 700'000;
  UcxPair pair;
  // The server answers a text, which is a tag, with that block.
  std::vector<std::byte> source = PatternBytes(kBytes, 7);
  std::atomic<int> sent{0};
  pair.hear = [&](std::string_view text) {
    uint64_t tag = 0;
    std::memcpy(&tag, text.data(), sizeof(tag));
    pair.server->Push(tag, SpansOf(source, source.size()), In(kLong),
                      [&](UcxEnd end) { sent += end == UcxEnd::kDone; });
    return true;
  };
  ASSERT_TRUE(pair.Connect().ok());
  std::atomic<int> arrived{0};
  const auto call = [&](uint64_t tag, std::mt19937& random) {
    std::vector<std::byte> target(kBytes);
    EndedTransfer ended;
    std::string text(sizeof(tag), '\0');
    std::memcpy(text.data(), &tag, sizeof(tag));
    pair.client->Expect(tag, kBytes, ArriveIn(target), ended.Done());
    const bool drives = random() % 3 != 0;
    if (drives && random() % 2 == 0) {  // in two turns, as a call does
      UcxWorker::Turn turn(*pair.client_worker);
      pair.client->Tell(text);
      if (turn.taken()) {
        turn.Step();
        turn.LeaveToNext();
      }
    } else {
      pair.client->Tell(text);
    }
    if (drives) {
      UcxWorker::Turn turn(*pair.client_worker);
      if (turn.taken()) {
        EXPECT_TRUE(turn.Until(In(kLong), [&] { return ended.ready(); }));
      }
    }
    EXPECT_EQ(ended.Wait(), UcxEnd::kDone);
    arrived += target == source;
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t + 1);
      for (int i = 0; i < kCalls; ++i) {
        call(static_cast<uint64_t>(t) * kCalls + i + 1, random);
        if (random() % 8 == 0) std::this_thread::sleep_for(1ms);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arrived, kThreads * kCalls);
}

TEST(UcxTurnTest, ItsHolderLearnsOfADeadPeer) {
  UcxPair pair;
  ASSERT_TRUE(pair.Connect().ok());
  std::vector<std::byte> target(1 << 20);
  EndedTransfer ended;
  pair.client->Expect(1, target.size(), ArriveIn(target), ended.Done());
  UcxWorker::Turn turn(*pair.client_worker);
  ASSERT_TRUE(turn.taken());
  pair.server->Close();
  EXPECT_TRUE(turn.Until(In(kLong), [&] { return ended.ready(); }));
  EXPECT_EQ(ended.Wait(), UcxEnd::kPeerGone);
}

}  // namespace
}  // namespace larder::transport
