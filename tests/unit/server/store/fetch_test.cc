#include "server/store/fetch.h"

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

class FetchTest : public StoreFixture {
 protected:
  // Flips a bit of the resident frame of block `number`, as failing memory would.
  void Damage(uint64_t number, size_t byte) {
    auto frame = store.blocks().PinFrame(*space, HashOf(number), Fidelity::kUnspecified);
    for (auto span : std::get<PinnedFrame>(frame).spans) {
      if (byte < span.size()) {
        span[byte] ^= std::byte{4};
        return;
      }
      byte -= span.size();
    }
  }
};

TEST_F(FetchTest, ReturnsExactlyTheBytesThatWereAccepted) {
  PutChain(1, 3);
  for (uint64_t number = 1; number <= 3; ++number) {
    EXPECT_EQ(GetFrame(number), FrameOf(*space, number, number - 1, number));
  }
}

TEST_F(FetchTest, AMissSaysWhy) {
  MissReason reason = MissReason::kNone;
  EXPECT_TRUE(GetFrame(1, &reason).empty());
  EXPECT_EQ(reason, MissReason::kNeverSeen);
}

TEST_F(FetchTest, DamagedMemoryIsQuarantinedWhenVerified) {
  Put(1);
  Damage(1, 3000);
  MissReason reason = MissReason::kNone;
  EXPECT_TRUE(GetFrame(1, &reason).empty());
  EXPECT_EQ(reason, MissReason::kQuarantined);
  EXPECT_EQ(store.quarantine().total(), 1u);
  EXPECT_EQ(store.quarantine().All()[0].hash, HashOf(1));
  EXPECT_EQ(Look(1, 1).miss_reason, MissReason::kQuarantined);
  EXPECT_EQ(Put(1), PutOutcome::kStored);
  EXPECT_EQ(GetFrame(1), FrameOf(*space, 1, 0, 1));
}

TEST_F(FetchTest, AFrameUnderAnotherKeyIsNeverReturnedEvenUnverified) {
  Put(1);
  Damage(1, offsetof(FrameHeader, prefix_hash));
  MissReason reason = MissReason::kNone;
  EXPECT_TRUE(GetFrame(1, &reason, /*verify=*/false).empty());
  EXPECT_EQ(reason, MissReason::kQuarantined);
}

TEST_F(FetchTest, AnswersInTheOrderAsked) {
  PutChain(1, 3);
  FetchSession session = store.OpenFetch(*space, {HashOf(3), HashOf(9), HashOf(1)}, {});
  std::vector<bool> hits;
  while (session.left() > 0) {
    session.Next([&](FetchAnswer answer) {
      hits.push_back(std::holds_alternative<PinnedFrame>(answer));
    });
  }
  EXPECT_EQ(hits, (std::vector<bool>{true, false, true}));
}

TEST_F(FetchTest, WhatCanNotBeSentByTheDeadlineIsAMiss) {
  Put(1);
  const FetchAnswer late = FetchNow(1, {.deadline = clock.Now() + std::chrono::milliseconds(1)});
  EXPECT_EQ(std::get<MissReason>(late), MissReason::kOverDeadline);
  const FetchAnswer in_time = FetchNow(1, {.deadline = clock.Now() + std::chrono::seconds(1)});
  EXPECT_TRUE(std::holds_alternative<PinnedFrame>(in_time));
}

TEST_F(FetchTest, ADrainingStoreMisses) {
  Put(1);
  store.Drain();
  EXPECT_EQ(std::get<MissReason>(FetchNow(1)), MissReason::kDraining);
}

TEST_F(FetchTest, APinnedFrameOutlivesItsEviction) {
  Put(1);
  auto found = FetchNow(1);
  for (uint64_t other = 100; other < 130; ++other) Put(other);
  store.blocks().Evict(*space, {});
  const auto& frame = std::get<PinnedFrame>(found);
  Bytes bytes;
  for (const auto span : frame.spans) bytes.insert(bytes.end(), span.begin(), span.end());
  EXPECT_EQ(bytes, FrameOf(*space, 1, 0, 1));
}

}  // namespace
}  // namespace larder::server
