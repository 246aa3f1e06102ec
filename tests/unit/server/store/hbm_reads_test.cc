#include "server/store/hbm_reads.h"

#include <vector>

#include "tests/unit/server/store/hbm_fixture.h"

namespace larder::server {
namespace {

class HbmReadsTest : public HbmTest {
 protected:
  explicit HbmReadsTest(bool with_ssd = false) : HbmTest(with_ssd) {}
  void SetUp() override {
    PutSlowly(1, 12);
    ASSERT_EQ(TierOf(1), TierKind::kHbm);
    ASSERT_EQ(TierOf(2), TierKind::kHbm);
  }
  MissReason Miss(uint64_t number, const FetchSession::Options& options = {}) {
    MissReason reason = MissReason::kNone;
    EXPECT_TRUE(Fetch(number, &reason, options).empty());
    return reason;
  }
};

TEST_F(HbmReadsTest, AGetMovesTheBlockBack) {
  EXPECT_EQ(Fetch(1), FrameOf(*space, 1, 0, 1));
  EXPECT_EQ(TierOf(1), TierKind::kDram);
  EXPECT_EQ(store.hbm_reads()->stats().brought, 1u);
  EXPECT_EQ(Fetch(1), FrameOf(*space, 1, 0, 1));
  EXPECT_EQ(store.hbm_reads()->stats().brought, 1u);
}

TEST_F(HbmReadsTest, ConcurrentReadsOfOneBlockAreOneAndNoCallerWaits) {
  device().Hold();
  const auto first = Ask(1), second = Ask(1), other = Ask(2);
  EXPECT_FALSE(first->answered.load() || second->answered.load() || other->answered.load());
  EXPECT_GE(hbm.copies(), 2u);  // and what makes room for them
  device().Release();
  EXPECT_TRUE(Eventually(
      [&] { return first->answered.load() && second->answered.load() && other->answered.load(); }));
  EXPECT_TRUE(std::holds_alternative<PinnedFrame>(first->answer));
  EXPECT_TRUE(std::holds_alternative<PinnedFrame>(second->answer));
  EXPECT_EQ(store.hbm_reads()->stats().brought, 2u);
}

TEST_F(HbmReadsTest, AFailedCopyIsAMissForNow) {
  device().FailNext(1'000);
  EXPECT_EQ(Miss(1), MissReason::kBusy);
  ASSERT_TRUE(Eventually([&] { return hbm.copies() == 0; }));
  device().FailNext(0);
  EXPECT_EQ(Fetch(1), FrameOf(*space, 1, 0, 1));
  EXPECT_EQ(store.hbm_reads()->stats().failures, 1u);
}

TEST_F(HbmReadsTest, ASlowCopyIsOverDeadlineAndStillBringsTheBlock) {
  device().Hold();
  const auto late = Ask(1, {.deadline = clock.Now() + std::chrono::milliseconds(50)});
  const auto patient = Ask(1, {.deadline = clock.Now() + std::chrono::seconds(50)});
  clock.Advance(std::chrono::milliseconds(49));
  ASSERT_TRUE(Eventually([&] { return late->answered.load(); }));
  EXPECT_EQ(std::get<MissReason>(late->answer), MissReason::kOverDeadline);
  EXPECT_FALSE(patient->answered.load());
  device().Release();
  ASSERT_TRUE(Eventually([&] { return patient->answered.load(); }));
  EXPECT_TRUE(std::holds_alternative<PinnedFrame>(patient->answer));
  EXPECT_EQ(TierOf(1), TierKind::kDram);
  EXPECT_EQ(Miss(2, {.deadline = clock.Now() + std::chrono::milliseconds(1)}),
            MissReason::kOverDeadline);
}

TEST_F(HbmReadsTest, ADamagedFrameIsQuarantinedAndNeverGiven) {
  device().Damage();
  EXPECT_EQ(Miss(1), MissReason::kQuarantined);
  EXPECT_EQ(Miss(1), MissReason::kQuarantined);
  ASSERT_EQ(store.quarantine().total(), 1u);
  EXPECT_EQ(store.quarantine().All()[0].tier, TierKind::kHbm);
  EXPECT_EQ(store.quarantine().All()[0].hash, HashOf(1));
  EXPECT_EQ(Put(1), PutOutcome::kStored);  // a new put takes its place
  EXPECT_EQ(Fetch(1), FrameOf(*space, 1, 0, 1));
}

TEST_F(HbmReadsTest, AnotherBlocksFrameIsNeverGiven) {
  Bytes other = FrameOf(*space, 2, 0, 2);
  {
    const PinSet pin = store.blocks().PinBlock(*space, HashOf(1));
    const auto place = store.blocks().HbmPlaceOf(pin);
    ASSERT_TRUE(place.has_value());
    std::atomic<bool> done{false};
    ASSERT_TRUE(hbm.Fill(place->slab, {other}, [&](CopyEnd) { done.store(true); }));
    ASSERT_TRUE(Eventually([&] { return done.load(); }));
  }
  EXPECT_EQ(Miss(1), MissReason::kQuarantined);
  EXPECT_EQ(Fetch(2), other);
}

TEST_F(HbmReadsTest, WithoutRoomInMemoryAGetIsAMissForNow) {
  const LookupAnswer leased = Look(7, 7, /*lease_ms=*/60'000);
  std::vector<LookupAnswer> leases;
  for (uint64_t number = 8; number <= 12; ++number) leases.push_back(Look(number, number, 60'000));
  ASSERT_EQ(Put(50), PutOutcome::kStored);
  ASSERT_EQ(Put(51), PutOutcome::kStored);
  leases.push_back(Look(50, 50, 60'000));
  leases.push_back(Look(51, 51, 60'000));
  if (TierOf(50) == TierKind::kDram && TierOf(51) == TierKind::kDram) {
    EXPECT_EQ(Miss(1), MissReason::kBusy);
  }
  store.leases().ReleaseAll();
  ASSERT_TRUE(Settled());
  EXPECT_EQ(Fetch(1), FrameOf(*space, 1, 0, 1));
}

TEST_F(HbmReadsTest, APutOfOtherBytesUnderAKeyInHbmIsRefused) {
  EXPECT_EQ(PutFrame(FrameOf(*space, 1, 0, 999)).outcome, PutOutcome::kConflict);
  EXPECT_EQ(Put(1), PutOutcome::kAlreadyPresent);
  EXPECT_EQ(Fetch(1), FrameOf(*space, 1, 0, 1));
}

TEST_F(HbmReadsTest, ADeviceLostDuringAReadIsAMiss) {
  device().Hold();
  const auto asked = Ask(1);
  device().Lose();
  device().Release();
  ASSERT_TRUE(Eventually([&] { return asked->answered.load(); }));
  const auto* reason = std::get_if<MissReason>(&asked->answer);
  ASSERT_NE(reason, nullptr);
  EXPECT_TRUE(*reason == MissReason::kBusy || *reason == MissReason::kEvicted);
}

class HbmReadsOverSsdTest : public HbmReadsTest {
 protected:
  HbmReadsOverSsdTest() : HbmReadsTest(/*with_ssd=*/true) {}
  void SetUp() override {
    for (uint64_t number = 1; number <= 12; ++number) {
      ASSERT_EQ(Put(number), PutOutcome::kStored);
      ASSERT_TRUE(Eventually([&] {
        return ssd.records() >= number && store.migrate()->stats().in_flight_bytes == 0;
      }));
      ASSERT_TRUE(number < kBlocks || Settled());
    }
  }
};

TEST_F(HbmReadsOverSsdTest, WhatCanNotBeReadFromHbmIsReadFromSsd) {
  ASSERT_EQ(TierOf(1), TierKind::kHbm);
  ASSERT_EQ(TierOf(3), TierKind::kHbm);
  device().FailNext(1'000);
  EXPECT_EQ(Fetch(1), FrameOf(*space, 1, 0, 1));
  ASSERT_TRUE(Eventually([&] { return hbm.copies() == 0; }));
  device().FailNext(0);
  device().Damage();
  EXPECT_EQ(Fetch(2), FrameOf(*space, 2, 0, 2));
  ASSERT_EQ(store.quarantine().total(), 1u);
  EXPECT_EQ(store.quarantine().All()[0].tier, TierKind::kHbm);
  device().Hold();
  const auto asked = Ask(3);
  device().Lose();
  device().Release();
  ASSERT_TRUE(Eventually([&] { return asked->answered.load(); }));
  EXPECT_TRUE(std::holds_alternative<PinnedFrame>(asked->answer));
}

}  // namespace
}  // namespace larder::server
