#include "server/store/migrate.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "tests/unit/server/store/tiers_fixture.h"

namespace larder::server {
namespace {

using MigrateTest = TiersTest;

TEST_F(MigrateTest, WhatMemoryCanNotHoldStaysOnSsd) {
  PutWritten(1, 3 * kBlocks, /*chain=*/true);
  EXPECT_EQ(Resident(1, 3 * kBlocks), 3 * kBlocks);
  EXPECT_EQ(ssd.records(), 3 * kBlocks);
  const std::vector<Residency> blocks = Look(1, 3 * kBlocks).blocks;
  EXPECT_GE(std::count_if(blocks.begin(), blocks.end(),
                          [](const Residency& r) { return r.tier() == TierKind::kSsd; }),
            static_cast<long>(2 * kBlocks));
  const auto stats = store.blocks().stats();
  EXPECT_LE(stats.memory_blocks, kBlocks);
  EXPECT_EQ(stats.removed[static_cast<int>(RemovalReason::kPressure)], 0u);
  for (uint64_t number = 1; number <= 3 * kBlocks; ++number) {
    ASSERT_EQ(GetFrame(number), FrameOf(*space, number, number == 1 ? 0 : number - 1, number));
  }
}

TEST_F(MigrateTest, ABlockThatIsTooLargeForSsdHoldsNobodyUp) {
  ssd.SetFrameBytesMax(1000);
  EXPECT_EQ(Put(1), PutOutcome::kStored);
  EXPECT_TRUE(Eventually([&] { return store.migrate()->stats().too_large == 1; }));
  ssd.SetFrameBytesMax(kFrameBytesMax);
  EXPECT_EQ(Put(2), PutOutcome::kStored);  // of no pause that time alone ends
  EXPECT_TRUE(Eventually([&] { return ssd.records() == 1; }));
  EXPECT_EQ(Put(3, 1), PutOutcome::kStored);  // its parent will not be there
  EXPECT_TRUE(AllWritten());
  EXPECT_EQ(ssd.records(), 1u);
  EXPECT_EQ(store.migrate()->stats().too_large, 1u);  // it is not tried again
}

TEST_F(MigrateTest, ABlockThatExpiresWhileItWaitsForSsdIsGoneInTime) {
  ssd.FailAppends(absl::UnavailableError("the disk is sick"));
  ASSERT_EQ(Put(1, 0, {.ttl = std::chrono::milliseconds(500)}), PutOutcome::kStored);
  absl::Status durable;
  std::atomic<bool> ended{false};
  store.migrate()->Persist(store.blocks().PinBlock(*space, HashOf(1)), std::chrono::seconds(10),
                           [&](const absl::Status& status) {
                             durable = status;
                             ended = true;
                           });
  clock.Advance(std::chrono::seconds(1));  // of a patience of ten
  store.Advance();
  ASSERT_TRUE(Eventually([&] { return ended.load(); }));
  EXPECT_TRUE(absl::IsNotFound(durable)) << durable;
  EXPECT_TRUE(Eventually([&] { return GetFrame(1).empty(); }));
}

TEST_F(MigrateTest, WritesAncestorsFirst) {
  ssd.FailAppends(absl::UnavailableError("the disk is gone"));
  PutChain(1, 6);
  EXPECT_TRUE(Eventually([&] { return store.migrate()->stats().write_failures > 0; }));
  EXPECT_EQ(ssd.records(), 0u);
  ssd.FailAppends(absl::OkStatus());
  EXPECT_TRUE(Eventually([&] {
    clock.Advance(std::chrono::milliseconds(100));
    return ssd.records() == 6;
  }));
  std::set<std::string> keys;
  for (const SsdEntry& entry : ssd.Entries()) keys.insert(entry.record.key);
  int heads = 0;
  for (const SsdEntry& entry : ssd.Entries()) {
    entry.record.parent.empty() ? ++heads : 0;
    EXPECT_TRUE(entry.record.parent.empty() || keys.contains(entry.record.parent));
  }
  EXPECT_EQ(heads, 1);
}

TEST_F(MigrateTest, AGetPromotesWhatItReads) {
  PutWritten(1, 2 * kBlocks);
  ASSERT_TRUE(OnSsdAlone(1));
  EXPECT_FALSE(GetFrame(1).empty());
  EXPECT_TRUE(Eventually([&] { return store.migrate()->stats().promotions == 1; }));
  EXPECT_FALSE(OnSsdAlone(1));
  const uint64_t reads = ssd.reads();
  EXPECT_EQ(GetFrame(1), FrameOf(*space, 1, 0, 1));
  EXPECT_EQ(ssd.reads(), reads);
}

TEST_F(MigrateTest, ADurablePutWaitsForItsBlocks) {
  IngestSession session = store.OpenIngest(*space, 2);
  session.AwaitDurable();
  for (uint32_t i = 0; i < 2; ++i) {
    const Bytes frame = FrameOf(*space, 1 + i, i, 1 + i);
    ASSERT_TRUE(session.Begin(i, frame.size(), {}).ok());
    ASSERT_TRUE(session.Write(i, frame).ok());
  }
  std::atomic<bool> done{false};
  std::vector<IngestResult> results;
  session.Finish([&](std::vector<IngestResult> finished) {
    results = std::move(finished);
    done.store(true);
  });
  ASSERT_TRUE(Eventually([&] { return done.load(); }));
  ASSERT_EQ(results.size(), 2u);
  for (const IngestResult& result : results) {
    EXPECT_EQ(result.outcome, PutOutcome::kStored);
    EXPECT_TRUE(result.durable) << result.message;
  }
  EXPECT_EQ(ssd.records(), 2u);
}

TEST_F(MigrateTest, ADurablePutSaysWhenItIsNot) {
  ssd.FailAppends(absl::UnavailableError("the disk is gone"));
  IngestSession session = store.OpenIngest(*space, 1);
  session.AwaitDurable();
  const Bytes frame = FrameOf(*space, 1, 0, 1);
  ASSERT_TRUE(session.Begin(0, frame.size(), {}).ok());
  ASSERT_TRUE(session.Write(0, frame).ok());
  std::atomic<bool> done{false};
  std::vector<IngestResult> results;
  session.Finish([&](std::vector<IngestResult> finished) {
    results = std::move(finished);
    done.store(true);
  });
  EXPECT_FALSE(done.load());
  clock.Advance(IngestSession::kDurablePatience);
  ASSERT_TRUE(Eventually([&] { return done.load(); }));
  EXPECT_EQ(results[0].outcome, PutOutcome::kStored);
  EXPECT_FALSE(results[0].durable);
  EXPECT_NE(results[0].message.find("not durable"), std::string::npos);
}

class SecondUseTest : public TiersTest {
 protected:
  SecondUseTest() : TiersTest(SecondUse()) {}
  static Config SecondUse() {
    Config config;
    config.ssd_second_use = true;
    return config;
  }
};

TEST_F(SecondUseTest, OnlyWhatWasUsedAgainOrMattersIsWritten) {
  PutChain(1, 4);
  ASSERT_TRUE(AllWritten());
  EXPECT_EQ(ssd.records(), 0u);
  Look(1, 2, /*lease_ms=*/1000);
  store.leases().ReleaseAll();
  ASSERT_TRUE(Eventually([&] { return ssd.records() == 2; }));
  ASSERT_EQ(Put(50, 0, {.priority = 80}), PutOutcome::kStored);
  EXPECT_TRUE(Eventually([&] { return ssd.records() == 3; }));
}

TEST_F(SecondUseTest, AnOrderlyEndWritesTheRest) {
  PutChain(1, 4);
  Put(50);
  ASSERT_TRUE(AllWritten());
  store.Drain();
  EXPECT_EQ(store.DemoteAll(clock.Now() + std::chrono::seconds(5)), 5u);
  EXPECT_EQ(ssd.records(), 5u);
}

class SmallSsdTest : public TiersTest {
 protected:
  // Room for 2 * kBlocks blocks beside what stays free.
  SmallSsdTest() : TiersTest({}, (2 * kBlocks + 1) * (5440 + 256) * 12 / 11) {}
};

TEST_F(SmallSsdTest, TheColdestGoFromSsdAndNeverTheHeads) {
  for (uint64_t number = 1; number <= 6 * kBlocks; ++number) {
    ASSERT_EQ(Put(number), PutOutcome::kStored);
    ASSERT_TRUE(AllWritten());
    if (number > 1) Look(1, 1, /*lease_ms=*/1);  // block 1 is used all the time
    store.leases().ReleaseAll();
  }
  EXPECT_LE(ssd.records(), 2 * kBlocks + 2);
  EXPECT_EQ(Resident(1, 1), 1u);
  EXPECT_EQ(Resident(2, 2), 0u);
  EXPECT_EQ(Look(2, 2).miss_reason, MissReason::kEvicted);
  EXPECT_EQ(Resident(6 * kBlocks, 6 * kBlocks), 1u);
}

TEST_F(SmallSsdTest, NoBlockPushesOutOneOfHigherPriority) {
  for (uint64_t number = 1; number <= 3 * kBlocks; ++number) {
    ASSERT_EQ(Put(number, 0, {.priority = 80}), PutOutcome::kStored);
    ASSERT_TRUE(AllWritten());
  }
  const size_t records = ssd.records();
  ASSERT_EQ(Put(1000, 0, {.priority = 10}), PutOutcome::kStored);
  EXPECT_TRUE(Eventually([&] { return store.migrate()->stats().no_room > 0; }));
  EXPECT_EQ(ssd.records(), records);
}

}  // namespace
}  // namespace larder::server
