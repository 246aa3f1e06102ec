#include "server/store/hbm_migrate.h"

#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/memory/cuda_arena.h"
#include "tests/unit/server/store/hbm_fixture.h"

namespace larder::server {
namespace {

std::set<uint64_t> Range(uint64_t first, uint64_t last) {
  std::set<uint64_t> numbers;
  for (uint64_t number = first; number <= last; ++number) numbers.insert(number);
  return numbers;
}

// --- Over the fake and, where there is a device, over CUDA ---

struct DeviceCase {
  std::string name;
  std::function<std::unique_ptr<DeviceArena>(uint64_t bytes)> make;  // null: not on this machine
};

std::unique_ptr<DeviceArena> MakeCuda(uint64_t bytes) {
  auto arena = CreateCudaArena({.bytes = bytes, .staging_bytes = 3'000});
  return arena.ok() ? *std::move(arena) : nullptr;
}

class HbmOnDeviceTest : public testing::TestWithParam<DeviceCase> {
 protected:
  class Store : public HbmStore {
   public:
    explicit Store(std::unique_ptr<DeviceArena> arena) : HbmStore(std::move(arena)) {}
    void TestBody() override {}
    using HbmStore::Fetch;
    using HbmStore::In;
    using HbmStore::kBlocks;
    using HbmStore::PutSlowly;
    using HbmStore::Settled;
    using HbmStore::space;
    using HbmStore::store;
  };

  void SetUp() override {
    auto arena = GetParam().make(HbmBytes());
    if (arena == nullptr) GTEST_SKIP() << "no CUDA device on this machine, or a build without CUDA";
    run_ = std::make_unique<Store>(std::move(arena));
  }
  static uint64_t HbmBytes() { return 8 * 11 * kGranuleBytes; }

  std::unique_ptr<Store> run_;
};

TEST_P(HbmOnDeviceTest, WhatLeavesMemoryLiesInHbmAndComesBackWhole) {
  Store& run = *run_;
  run.PutSlowly(1, 12);
  EXPECT_EQ(run.In(TierKind::kHbm, 1, 12), Range(1, 6));
  EXPECT_EQ(run.In(TierKind::kDram, 1, 12), Range(7, 12));
  for (int round = 0; round < 3; ++round) {
    for (uint64_t number = 1; number <= 12; ++number) {
      ASSERT_EQ(run.Fetch(number), FrameOf(*run.space, number, 0, number)) << number;
      ASSERT_TRUE(run.Settled());
    }
  }
  EXPECT_GE(run.store.hbm_reads()->stats().brought, 6u);
  EXPECT_EQ(run.store.hbm_reads()->stats().failures, 0u);
}

TEST_P(HbmOnDeviceTest, AChainOfBothTiersIsWhole) {
  Store& run = *run_;
  run.PutSlowly(1, 13, /*chain=*/true);
  EXPECT_GE(run.In(TierKind::kHbm, 1, 13).size(), 5u);
  for (uint64_t number = 1; number <= 13; ++number) {
    ASSERT_EQ(run.Fetch(number), FrameOf(*run.space, number, number - 1, number)) << number;
    ASSERT_TRUE(run.Settled());
  }
  EXPECT_EQ(run.store.blocks().stats().removed[static_cast<int>(RemovalReason::kPressure)], 0u);
}

TEST_P(HbmOnDeviceTest, WhatNeitherTierHoldsIsTheColdest) {
  Store& run = *run_;
  run.PutSlowly(1, 20);
  EXPECT_EQ(run.In(TierKind::kHbm, 1, 20), Range(7, 14));
  EXPECT_EQ(run.In(TierKind::kDram, 1, 20), Range(15, 20));
  MissReason reason = MissReason::kNone;
  EXPECT_TRUE(run.Fetch(6, &reason).empty());
  EXPECT_EQ(reason, MissReason::kEvicted);
}

INSTANTIATE_TEST_SUITE_P(, HbmOnDeviceTest,
                         testing::Values(DeviceCase{"Fake",
                                                    [](uint64_t bytes) {
                                                      return std::make_unique<FakeDeviceArena>(
                                                          bytes);
                                                    }},
                                         DeviceCase{"Cuda", MakeCuda}),
                         [](const auto& instance) { return instance.param.name; });

// --- Faults, over the fake ---

class HbmMigrateTest : public HbmTest {};

TEST_F(HbmMigrateTest, WhatIsUsedWhileItMovesStays) {
  PutSlowly(1, 7);
  device().Hold();
  ASSERT_EQ(Put(8), PutOutcome::kStored);
  ASSERT_TRUE(Eventually([&] { return hbm.copies() > 0; }));
  const auto held = Ask(1);  // it was the coldest
  ASSERT_TRUE(held->answered.load());
  device().Release();
  ASSERT_TRUE(Eventually([&] { return store.hbm_migrate()->stats().skipped > 0; }));
  EXPECT_EQ(TierOf(1), TierKind::kDram);
}

TEST_F(HbmMigrateTest, AFailedCopyLeavesTheBlockWhereItIs) {
  PutSlowly(1, 7);
  device().FailNext(1'000);
  ASSERT_EQ(Put(8), PutOutcome::kStored);
  ASSERT_TRUE(Eventually([&] { return store.hbm_migrate()->stats().skipped > 0; }));
  EXPECT_EQ(In(TierKind::kDram, 1, 8), Range(1, 8));
  ASSERT_TRUE(Eventually([&] { return hbm.copies() == 0; }));
  device().FailNext(0);
  clock.Advance(HbmMigrate::kFailedPause);  // then it is tried again
  ASSERT_TRUE(Eventually([&] { return store.hbm_migrate()->stats().moved > 0; }));
  for (uint64_t number = 1; number <= 8; ++number) {
    EXPECT_EQ(Fetch(number), FrameOf(*space, number, 0, number));
  }
}

TEST_F(HbmMigrateTest, PutsDoNotWaitForASlowDevice) {
  device().Hold();
  for (uint64_t number = 1; number <= 3 * kBlocks; ++number) {
    ASSERT_EQ(Put(number), PutOutcome::kStored) << number;
  }
  EXPECT_GT(store.blocks().stats().removed[static_cast<int>(RemovalReason::kPressure)], 0u);
}

TEST_F(HbmMigrateTest, ALeaseHoldsWhatIsInHbm) {
  PutSlowly(1, 12);
  ASSERT_EQ(TierOf(2), TierKind::kHbm);
  const LookupAnswer leased = Look(2, 2, /*lease_ms=*/60'000);
  PutSlowly(13, 40);
  EXPECT_EQ(Resident(1, 1), 0u);
  EXPECT_EQ(Fetch(2), FrameOf(*space, 2, 0, 2));
}

TEST_F(HbmMigrateTest, NoBlockPushesOneOfHigherPriorityOutOfHbm) {
  for (uint64_t number = 1; number <= 14; ++number) {
    ASSERT_EQ(Put(number, 0, {.priority = 80}), PutOutcome::kStored);
    ASSERT_TRUE(number < kBlocks || Settled());
  }
  const auto in_hbm = In(TierKind::kHbm, 1, 14);
  EXPECT_EQ(in_hbm.size(), kHbmBlocks);
  for (uint64_t number = 20; number <= 40; ++number) Put(number, 0, {.priority = 10});
  ASSERT_TRUE(Eventually([&] { return hbm.copies() == 0; }));
  EXPECT_EQ(In(TierKind::kHbm, 1, 14), in_hbm);
}

TEST_F(HbmMigrateTest, NothingMovesOnceTheServerDrains) {
  PutSlowly(1, 7);
  store.Drain();
  ASSERT_EQ(Put(8), PutOutcome::kStored);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(In(TierKind::kHbm, 1, 8).size(), 0u);
}

TEST_F(HbmMigrateTest, TheServerGoesOnWithoutALostDevice) {
  PutSlowly(1, 12);
  const LookupAnswer leased = Look(3, 3, /*lease_ms=*/60'000);
  device().Lose();
  EXPECT_TRUE(Eventually([&] { return Resident(1, 1) == 0; }));
  EXPECT_TRUE(store.hbm_migrate()->stats().lost);
  for (uint64_t number = 1; number <= 6; ++number) {
    MissReason reason = MissReason::kNone;
    EXPECT_TRUE(Fetch(number, &reason).empty());
    EXPECT_EQ(reason, MissReason::kEvicted);
  }
  EXPECT_GE(store.blocks().stats().removed[static_cast<int>(RemovalReason::kLost)], 5u);
  for (uint64_t number = 7; number <= 12; ++number) {
    EXPECT_EQ(Fetch(number), FrameOf(*space, number, 0, number));
  }
  store.leases().ReleaseAll();
  for (uint64_t number = 1; number <= 3 * kBlocks; ++number) {
    ASSERT_NE(Put(number), PutOutcome::kNoRoom) << number;
  }
  EXPECT_EQ(store.blocks().stats().hbm_blocks, 0u);
  EXPECT_EQ(hbm.usage().used_bytes, 0u);
}

TEST_F(HbmMigrateTest, ADeviceLostWhileBlocksMoveCostsNoBlockInMemory) {
  PutSlowly(1, 7);
  device().Hold();
  ASSERT_EQ(Put(8), PutOutcome::kStored);
  ASSERT_TRUE(Eventually([&] { return hbm.copies() > 0; }));
  const auto before = In(TierKind::kDram, 1, 8);
  device().Lose();
  device().Release();
  ASSERT_TRUE(Eventually([&] { return hbm.copies() == 0; }));
  EXPECT_EQ(In(TierKind::kDram, 1, 8), before);
  for (const uint64_t number : before) {
    EXPECT_EQ(Fetch(number), FrameOf(*space, number, 0, number));
  }
}

class HbmOverSsdTest : public HbmTest {
 protected:
  HbmOverSsdTest() : HbmTest(/*with_ssd=*/true) {}
  bool AllWritten(size_t records) {
    return Eventually([&] {
      clock.Advance(std::chrono::milliseconds(10));
      return ssd.records() >= records && store.migrate()->stats().in_flight_bytes == 0;
    });
  }
};

TEST_F(HbmOverSsdTest, BlocksGoDownTierByTier) {
  for (uint64_t number = 1; number <= 20; ++number) {
    ASSERT_EQ(Put(number), PutOutcome::kStored);
    ASSERT_TRUE(AllWritten(number));
    ASSERT_TRUE(number < kBlocks || Settled());
  }
  EXPECT_EQ(In(TierKind::kSsd, 1, 20), Range(1, 6));
  EXPECT_EQ(In(TierKind::kHbm, 1, 20), Range(7, 14));
  EXPECT_EQ(In(TierKind::kDram, 1, 20), Range(15, 20));
  for (uint64_t number = 1; number <= 20; ++number) {
    ASSERT_EQ(Fetch(number), FrameOf(*space, number, 0, number)) << number;
  }
}

TEST_F(HbmOverSsdTest, WhatIsOnSsdOutlivesTheDevice) {
  for (uint64_t number = 1; number <= 12; ++number) {
    ASSERT_EQ(Put(number), PutOutcome::kStored);
    ASSERT_TRUE(AllWritten(number));
    ASSERT_TRUE(number < kBlocks || Settled());
  }
  ASSERT_EQ(TierOf(1), TierKind::kHbm);
  device().Lose();
  for (uint64_t number = 1; number <= 12; ++number) {
    ASSERT_EQ(Fetch(number), FrameOf(*space, number, 0, number)) << number;
  }
  EXPECT_TRUE(Eventually([&] {
    clock.Advance(std::chrono::milliseconds(100));
    return store.blocks().stats().hbm_blocks == 0;
  }));
}

TEST_F(HbmOverSsdTest, ABlockComesBackWhenItsDescendantsWaitForIt) {
  ssd.FailAppends(absl::UnavailableError("the disk is gone"));
  ASSERT_EQ(Put(1), PutOutcome::kStored);
  for (uint64_t number = 2; number <= 14 && TierOf(1) != TierKind::kHbm; ++number) {
    PutSlowly(number, number);
  }
  ASSERT_EQ(TierOf(1), TierKind::kHbm);
  ASSERT_EQ(Put(100, 1), PutOutcome::kStored);
  ssd.FailAppends(absl::OkStatus());
  EXPECT_TRUE(AllWritten(1));
  // Nobody gets it.
  EXPECT_TRUE(Eventually([&] {
    clock.Advance(std::chrono::milliseconds(50));
    return store.hbm_reads()->stats().brought > 0;
  }));
}

// Puts, gets and leases from several threads while copies fail, stall, and in the end the device is
// lost: every answer is the block's own bytes or a miss, and none takes for ever.
TEST_F(HbmMigrateTest, NeverGivesOtherBytesUnderLoadAndFaults) {
  constexpr uint64_t kNumbers = 40;
  constexpr int kThreads = 3;
  constexpr int kRounds = 200;
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::atomic<bool> ended{false};
  std::atomic<uint64_t> hits{0}, misses{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(seed + thread);
      while (!ended.load()) {
        const uint64_t number = 1 + random() % kNumbers;
        const uint64_t parent = number % 4 == 0 ? 0 : number - 1;  // chains of four
        if (random() % 2 == 0) {
          Put(number, number == 1 ? 0 : parent);
          continue;
        }
        const Bytes got =
            Fetch(number, nullptr, {.deadline = clock.Now() + std::chrono::milliseconds(100)});
        got.empty() ? ++misses : ++hits;
        wrong += !got.empty() && got != FrameOf(*space, number, number == 1 ? 0 : parent, number);
      }
    });
  }
  std::mt19937_64 random(seed + 99);
  const auto disturb = [&] {
    if (random() % 16 == 0) device().FailNext(1 + random() % 3);
    if (random() % 8 == 0) device().Hold();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    clock.Advance(std::chrono::milliseconds(20));
    if (random() % 2 == 0) device().Release();
  };
  // On a busy machine it takes longer to do enough.
  const auto enough = [&] { return hits.load() > 50 && store.hbm_migrate()->stats().moved > 10; };
  for (int round = 0; round < kRounds || (round < 50 * kRounds && !enough()); ++round) disturb();
  device().Lose();
  for (int round = 0; round < 20; ++round) disturb();
  ended.store(true);
  device().Release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_TRUE(enough()) << hits.load() << " hits";
  ASSERT_TRUE(Eventually([&] { return hbm.copies() == 0; }));
}

}  // namespace
}  // namespace larder::server
