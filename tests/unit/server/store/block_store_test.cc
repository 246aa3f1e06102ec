#include "server/store/block_store.h"

#include <thread>

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

class BlockStoreTest : public StoreFixture {};

TEST_F(BlockStoreTest, TtlEndsABlockOnTime) {
  RetentionSpec retention;
  retention.ttl = std::chrono::milliseconds(5000);
  Put(1, 0, retention);
  clock.Advance(std::chrono::milliseconds(4900));
  EXPECT_EQ(Resident(1, 1), 1u);
  clock.Advance(std::chrono::milliseconds(300));
  EXPECT_EQ(Look(1, 1).miss_reason, MissReason::kExpired);
}

TEST_F(BlockStoreTest, PriorityHoldsForItsDuration) {
  RetentionSpec high;
  high.priority = 90;
  high.priority_duration = std::chrono::milliseconds(1000);
  Put(1, 0, high);
  for (uint64_t other = 100; other < 100 + kBlocks; ++other) Put(other);
  EXPECT_EQ(Resident(1, 1), 1u);
  clock.Advance(std::chrono::milliseconds(1200));
  store.Advance();
  for (uint64_t other = 200; other < 200 + kBlocks; ++other) Put(other);
  EXPECT_EQ(Resident(1, 1), 0u);
}

TEST_F(BlockStoreTest, RetainCountsWhatIsResident) {
  PutChain(1, 3);
  RetentionSpec high;
  high.priority = 80;
  EXPECT_EQ(store.blocks().Retain(*space, Hashes(1, 5), high), 3u);
  for (uint64_t other = 100; other < 100 + 2 * kBlocks; ++other) Put(other);
  EXPECT_EQ(Resident(1, 3), 3u);
}

TEST_F(BlockStoreTest, EvictTakesDescendantsAndLeavesWhatIsHeld) {
  PutChain(1, 4);
  Put(10);
  EXPECT_EQ(store.blocks().Evict(*space, std::vector{HashOf(2)}).evicted, 3u);
  EXPECT_EQ(Resident(1, 4), 1u);
  EXPECT_EQ(store.blocks().stats().removed[static_cast<int>(RemovalReason::kOperator)], 3u);
  Look(10, 10, 1000);
  const auto rest = store.blocks().Evict(*space, {});
  EXPECT_EQ(rest.evicted, 1u);
  EXPECT_EQ(rest.held, 1u);
  EXPECT_EQ(Resident(10, 10), 1u);
}

TEST_F(BlockStoreTest, ReserveRefusedByTheTierEvictsAndTriesAgain) {
  PutChain(1, 2);
  tier.FailNextReserves(1);
  EXPECT_EQ(Put(5), PutOutcome::kStored);
  EXPECT_EQ(Resident(1, 2), 1u);
}

TEST_F(BlockStoreTest, EventsTellWhatComesAndGoes) {
  EventLog::Watcher watcher(store.events());
  PutChain(1, 2);
  store.blocks().Evict(*space, {});
  uint64_t lost = 0;
  const auto events = watcher.Next(0, 100, &lost);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(lost, 0u);
  EXPECT_EQ(events[1].kind, EventKind::kStored);
  EXPECT_EQ(events[1].hash, HashOf(2));
  EXPECT_EQ(events[1].parent, HashOf(1));
  EXPECT_EQ(events[3].kind, EventKind::kRemoved);
}

TEST_F(BlockStoreTest, StaysConsistentUnderConcurrentUse) {
  std::vector<std::thread> threads;
  std::atomic<uint64_t> wrong{0}, hits{0};
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 1500; ++i) {
        const uint64_t number = 1 + (i * 7 + t * 3) % 12;
        PutFrame(FrameOf(*space, number, 0, number));
        const Bytes bytes = GetFrame(number);
        if (!bytes.empty()) {
          ++hits;
          if (bytes != FrameOf(*space, number, 0, number)) ++wrong;
        }
        const LookupAnswer answer = Look(number, number, 1000);
        if (!answer.lease_id.empty()) store.leases().Release(answer.lease_id);
        if (i % 100 == 0) store.blocks().Evict(*space, {});
        if (i % 50 == 0) store.Advance();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(hits, 1000u);
}

}  // namespace
}  // namespace larder::server
