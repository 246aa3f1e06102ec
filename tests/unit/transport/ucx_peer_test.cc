#include "transport/ucx_peer.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/unit/transport/ucx_pair.h"

namespace larder::transport {
namespace {

class UcxPeerTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { ASSERT_TRUE(pair_.Connect().ok()); }
  UcxPair pair_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Transports, UcxPeerTest, testing::Values("tcp", "posix,sysv,cma,tcp"),
                         [](const auto& test) {
                           return std::string(test.param) == "tcp" ? "Tcp" : "SharedMemory";
                         });

// Sizes around the limits between UCX's protocols and ours, whole and scattered.
TEST_P(UcxPeerTest, PushesWhatIsExpected) {
  uint64_t tag = 77;
  for (const size_t size : {1ul, 64ul, 4096ul, 32768ul, 100'000ul, (1ul << 20), (5ul << 20) + 64}) {
    for (const size_t piece : {size, 512ul, 65536ul}) {
      if (size / piece > 4096) continue;
      SCOPED_TRACE(testing::Message() << size << " bytes in spans of " << piece);
      std::vector<std::byte> source = PatternBytes(size, size), target(size + 10);
      EndedTransfer arrived, sent;
      std::atomic<uint64_t> prefix{0};
      pair_.client->Expect(
          ++tag, target.size(),
          [&, copy = ArriveIn(target)](uint64_t offset, auto bytes, uint64_t block) {
            EXPECT_EQ(block, size);
            EXPECT_EQ(offset, prefix.load());
            copy(offset, bytes, block);
            prefix = offset + bytes.size();
          },
          arrived.Done());
      pair_.server->Push(tag, SpansOf(source, piece), In(10s), sent.Done());
      EXPECT_EQ(sent.Wait(), UcxEnd::kDone);
      EXPECT_EQ(arrived.Wait(), UcxEnd::kDone);
      EXPECT_EQ(prefix.load(), size);
      target.resize(size);
      ASSERT_TRUE(source == target);
    }
  }
}

TEST_P(UcxPeerTest, PullsWhatIsOffered) {
  uint64_t tag = 5;
  for (const size_t size : {1ul, 4096ul, 32768ul, (1ul << 20), (5ul << 20) + 64}) {
    for (const size_t piece : {size, 512ul, 65536ul}) {
      if (size / piece > 4096) continue;
      SCOPED_TRACE(testing::Message() << size << " bytes in spans of " << piece);
      std::vector<std::byte> source = PatternBytes(size, size), target(size);
      EndedTransfer withdrawn, moved;
      std::vector<std::byte> landed;
      pair_.client->Offer(++tag, 4096, SpansOf(source, size), withdrawn.Done());
      pair_.server->Pull(
          tag, 4096, SpansOf(target, piece), In(10s),
          [&landed](auto bytes) { landed.insert(landed.end(), bytes.begin(), bytes.end()); },
          moved.Done());
      EXPECT_EQ(moved.Wait(), UcxEnd::kDone);
      EXPECT_TRUE(landed == source);
      pair_.client->Withdraw(tag);
      EXPECT_EQ(withdrawn.Wait(), UcxEnd::kDone);
      ASSERT_TRUE(source == target);
    }
  }
}

TEST_P(UcxPeerTest, KeepsManyTransfersApart) {
  constexpr int kTransfers = 40;
  constexpr size_t kBytes = 700'000;
  std::vector<std::vector<std::byte>> sources, targets(kTransfers), back(kTransfers);
  std::vector<EndedTransfer> arrived(kTransfers), sent(kTransfers), pulled(kTransfers),
      withdrawn(kTransfers);
  for (int i = 0; i < kTransfers; ++i) {
    sources.push_back(PatternBytes(kBytes, i));
    targets[i].resize(kBytes);
    back[i].resize(kBytes);
    pair_.client->Expect(i, targets[i].size(), ArriveIn(targets[i]), arrived[i].Done());
    pair_.client->Offer(1000 + i, 0, SpansOf(sources[i], kBytes), withdrawn[i].Done());
  }
  for (int i = 0; i < kTransfers; ++i) {
    pair_.server->Push(i, SpansOf(sources[i], kBytes), In(20s), sent[i].Done());
    pair_.server->Pull(1000 + i, 0, SpansOf(back[i], kBytes), In(20s), nullptr, pulled[i].Done());
  }
  for (int i = 0; i < kTransfers; ++i) {
    EXPECT_EQ(sent[i].Wait(), UcxEnd::kDone);
    EXPECT_EQ(arrived[i].Wait(), UcxEnd::kDone);
    EXPECT_EQ(pulled[i].Wait(), UcxEnd::kDone);
    pair_.client->Withdraw(1000 + i);
    EXPECT_EQ(withdrawn[i].Wait(), UcxEnd::kDone);
    ASSERT_TRUE(targets[i] == sources[i]);
    ASSERT_TRUE(back[i] == sources[i]);
  }
}

// Blocks of several requests each, in the midst of pushes that fill the connection.
TEST_P(UcxPeerTest, WhatIsPulledLandsInOrder) {
  constexpr int kTransfers = 24;
  constexpr size_t kBytes = (5 << 20) + 64;
  std::vector<std::byte> source = PatternBytes(kBytes, 1);
  std::vector<std::vector<std::byte>> back(kTransfers), landed(kTransfers);
  std::vector<EndedTransfer> sent(kTransfers), pulled(kTransfers), withdrawn(kTransfers);
  for (int i = 0; i < kTransfers; ++i) {
    back[i].resize(kBytes);
    pair_.client->Offer(1000 + i, 0, SpansOf(source, kBytes), withdrawn[i].Done());
  }
  for (int i = 0; i < kTransfers; ++i) {
    pair_.server->Push(i, SpansOf(source, kBytes / 7), In(20s), sent[i].Done());
    pair_.server->Pull(
        1000 + i, 0, SpansOf(back[i], kBytes), In(20s),
        [&to = landed[i]](auto bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); },
        pulled[i].Done());
  }
  for (int i = 0; i < kTransfers; ++i) {
    EXPECT_EQ(sent[i].Wait(), UcxEnd::kDone);
    EXPECT_EQ(pulled[i].Wait(), UcxEnd::kDone);
    pair_.client->Withdraw(1000 + i);
    EXPECT_EQ(withdrawn[i].Wait(), UcxEnd::kDone);
    EXPECT_TRUE(landed[i] == source) << i;
  }
}

// What is verified as it lands must be what stands there.
TEST_P(UcxPeerTest, AnswersInAnotherOrderFailThePull) {
  std::vector<std::byte> target(2 << 20), answer(kUcxMessageBytes);
  std::promise<void> go_on;
  auto may_go_on = go_on.get_future().share();
  EndedTransfer held, sent, moved, answered;
  pair_.client->Expect(
      1, 1000, [=](auto...) { may_go_on.wait_for(10s); }, held.Done());
  pair_.server->Push(1, {std::span(target).first(1000)}, In(5s), sent.Done());  // number 1
  EXPECT_EQ(sent.Wait(), UcxEnd::kDone);
  size_t landed = 0;
  pair_.server->Pull(
      2, 0, SpansOf(target, target.size()), In(5s), [&](auto bytes) { landed += bytes.size(); },
      moved.Done());
  // On the thread of the server's worker.
  pair_.server->Push(3, {}, In(5s), [&, done = answered.Done()](UcxEnd end) {
    pair_.server->OnAnswer({2, kUcxPullBytes}, answer);
    done(end);
  });
  EXPECT_EQ(answered.Wait(), UcxEnd::kDone);
  EXPECT_TRUE(moved.ready());
  go_on.set_value();
  EXPECT_EQ(moved.Wait(), UcxEnd::kFailed);
  EXPECT_EQ(landed, 0u);
}

TEST_P(UcxPeerTest, DropsWhatNobodyExpects) {
  std::vector<std::byte> source = PatternBytes(3 << 20, 1);
  EndedTransfer sent, arrived, again;
  pair_.server->Push(1, SpansOf(source, source.size()), In(5s), sent.Done());
  EXPECT_EQ(sent.Wait(), UcxEnd::kDone);
  // A block that is larger than what is expected ends it, and nothing of it arrives.
  std::vector<std::byte> target(1 << 20, std::byte{7});
  pair_.client->Expect(2, target.size(), ArriveIn(target), arrived.Done());
  pair_.server->Push(2, SpansOf(source, source.size()), In(5s), again.Done());
  EXPECT_EQ(again.Wait(), UcxEnd::kDone);
  EXPECT_EQ(arrived.Wait(), UcxEnd::kFailed);
  EXPECT_EQ(std::count(target.begin(), target.end(), std::byte{7}), 1 << 20);
}

TEST_P(UcxPeerTest, PullOfWhatIsNotOfferedFails) {
  std::vector<std::byte> target(2 << 20), source(1 << 20);
  EndedTransfer unknown, beyond, withdrawn;
  pair_.server->Pull(1, 0, SpansOf(target, target.size()), In(5s), nullptr, unknown.Done());
  EXPECT_EQ(unknown.Wait(), UcxEnd::kFailed);
  pair_.client->Offer(2, 0, SpansOf(source, source.size()), withdrawn.Done());
  pair_.server->Pull(2, 0, SpansOf(target, target.size()), In(5s), nullptr, beyond.Done());
  EXPECT_EQ(beyond.Wait(), UcxEnd::kFailed);
  EndedTransfer before;
  pair_.client->Withdraw(2);
  EXPECT_EQ(withdrawn.Wait(), UcxEnd::kDone);
  EndedTransfer again;
  pair_.client->Offer(3, 4096, SpansOf(source, source.size()), again.Done());
  pair_.server->Pull(3, 4095, SpansOf(source, 1000), In(5s), nullptr, before.Done());
  EXPECT_EQ(before.Wait(), UcxEnd::kFailed);
  pair_.client->Withdraw(3);
}

TEST_P(UcxPeerTest, WithdrawEndsAtOnceOrAtItsTime) {
  std::vector<std::byte> target(1000);
  EndedTransfer at_once, later;
  pair_.client->Expect(1, target.size(), ArriveIn(target), at_once.Done());
  pair_.client->Withdraw(1);
  EXPECT_TRUE(at_once.ready());
  pair_.client->Expect(2, target.size(), ArriveIn(target), later.Done());
  pair_.client->Withdraw(2, In(50ms));
  EXPECT_FALSE(later.ready());
  EXPECT_EQ(later.Wait(), UcxEnd::kOverDeadline);
}

// Nothing of a transfer is over while somebody takes its bytes.
TEST_P(UcxPeerTest, NoTransferEndsWhileItsBytesAreTaken) {
  std::vector<std::byte> source = PatternBytes(3 << 20, 1), target(3 << 20);
  EndedTransfer sent, arrived;
  std::promise<void> telling, go_on;
  auto may_go_on = go_on.get_future().share();
  bool first = true;
  std::atomic<bool> returned{false}, ended_after{false};
  pair_.client->Expect(
      1, target.size(),
      [&, may_go_on](uint64_t, auto, uint64_t) {
        if (!std::exchange(first, false)) return;
        telling.set_value();
        may_go_on.wait_for(10s);
        returned.store(true);
      },
      [&, done = arrived.Done()](UcxEnd end) {
        ended_after.store(returned.load());
        done(end);
      });
  pair_.server->Push(1, SpansOf(source, source.size()), In(20s), sent.Done());
  telling.get_future().wait();
  pair_.client->Withdraw(1);
  EXPECT_FALSE(arrived.ready());
  go_on.set_value();
  EXPECT_EQ(arrived.Wait(), UcxEnd::kOverDeadline);
  EXPECT_TRUE(ended_after);
}

// A process that is stopped keeps its connection alive, and the transfer has no deadline.
TEST(UcxPeerStallTest, APeerThatTakesNothingIsGivenUp) {
  UcxPair pair("tcp", {.stall = 300ms});
  ASSERT_TRUE(pair.Connect().ok());
  std::vector<std::byte> source(64 << 20), target(64 << 20);
  EndedTransfer sent, arrived;
  std::promise<void> go_on;
  auto may_go_on = go_on.get_future().share();
  pair.client->Expect(
      1, target.size(), [may_go_on](uint64_t, auto, uint64_t) { may_go_on.wait_for(10s); },
      arrived.Done());
  pair.server->Push(1, SpansOf(source, source.size()), UcxTime::max(), sent.Done());
  EXPECT_EQ(sent.Wait(), UcxEnd::kPeerGone);
  go_on.set_value();
  EXPECT_EQ(arrived.Wait(), UcxEnd::kPeerGone);
}

TEST_P(UcxPeerTest, CloseEndsEverythingOnBothSides) {
  std::vector<std::byte> source(64 << 20), target(64 << 20), offered(1000);
  EndedTransfer sent, arrived, withdrawn, after;
  pair_.client->Expect(1, target.size(), ArriveIn(target), arrived.Done());
  pair_.client->Offer(2, 0, SpansOf(offered, 1000), withdrawn.Done());
  pair_.server->Push(1, SpansOf(source, source.size()), In(20s), sent.Done());
  pair_.client->Close();
  EXPECT_EQ(arrived.Wait(), UcxEnd::kPeerGone);
  EXPECT_EQ(withdrawn.Wait(), UcxEnd::kPeerGone);
  pair_.client_gone.get_future().wait();
  EXPECT_EQ(sent.Wait(), UcxEnd::kPeerGone);
  pair_.server_gone.get_future().wait();
  pair_.server->Push(1, SpansOf(source, 1000), In(20s), after.Done());
  EXPECT_EQ(after.Wait(), UcxEnd::kPeerGone);
}

TEST_P(UcxPeerTest, DestroyedWorkersEndTheirTransfers) {
  std::vector<std::byte> source(64 << 20), target(64 << 20);
  EndedTransfer sent, arrived;
  pair_.client->Expect(1, target.size(), ArriveIn(target), arrived.Done());
  pair_.server->Push(1, SpansOf(source, source.size()), In(20s), sent.Done());
  pair_.server_worker.reset();
  EXPECT_NE(sent.Wait(), UcxEnd::kFailed);
  pair_.client_worker.reset();
  EXPECT_NE(arrived.Wait(), UcxEnd::kFailed);
}

class UcxTextTest : public testing::TestWithParam<const char*> {
 protected:
  UcxPair pair_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Transports, UcxTextTest, testing::Values("tcp", "posix,sysv,cma,tcp"),
                         [](const auto& test) {
                           return std::string(test.param) == "tcp" ? "Tcp" : "SharedMemory";
                         });

// Of all sizes, and not behind what else the connection carries.
TEST_P(UcxTextTest, TextsComeInOrderAndBeforeBlocksThatWait) {
  constexpr size_t kTexts = 200, kBlocks = 64;
  std::promise<void> all;
  std::vector<std::string> answers;
  std::atomic<size_t> blocks_here{0};
  size_t blocks_before_last = 0;
  pair_.hear = [&](std::string_view text) {
    pair_.server->Tell("to " + std::string(text));
    return true;
  };
  pair_.client_hear = [&](std::string_view text) {
    answers.emplace_back(text);
    if (answers.size() < kTexts) return true;
    blocks_before_last = blocks_here;
    all.set_value();
    return true;
  };
  ASSERT_TRUE(pair_.Connect().ok());
  std::vector<std::byte> source = PatternBytes(4 << 20, 1), target(4 << 20);
  std::vector<EndedTransfer> here(kBlocks);
  for (size_t i = 0; i < kBlocks; ++i) {
    pair_.client->Expect(i, target.size(), ArriveIn(target),
                         [&, done = here[i].Done()](UcxEnd end) {
                           ++blocks_here;
                           done(end);
                         });
  }
  for (size_t i = 0; i < kBlocks; ++i) {
    pair_.server->Push(i, SpansOf(source, source.size()), In(20s), [](UcxEnd) {});
  }
  const auto text_of = [](size_t i) {
    return std::string(1 + i * 331 % 65'536, static_cast<char>('a' + i % 26)) + std::to_string(i);
  };
  for (size_t i = 0; i < kTexts; ++i) pair_.client->Tell(text_of(i));
  ASSERT_EQ(all.get_future().wait_for(20s), std::future_status::ready);
  for (size_t i = 0; i < kTexts; ++i) ASSERT_EQ(answers[i], "to " + text_of(i));
  for (EndedTransfer& block : here) EXPECT_EQ(block.Wait(), UcxEnd::kDone);
  EXPECT_LT(blocks_before_last, kBlocks);
}

TEST_P(UcxTextTest, ATextThatNobodyExpectsOrThatIsRefusedEndsTheConnection) {
  for (const bool refused : {false, true}) {
    UcxPair pair(GetParam());
    if (refused) pair.hear = [](std::string_view) { return false; };
    ASSERT_TRUE(pair.Connect().ok());
    pair.client->Tell("hello");
    EXPECT_EQ(pair.server_gone.get_future().wait_for(20s), std::future_status::ready);
  }
}

}  // namespace
}  // namespace larder::transport
