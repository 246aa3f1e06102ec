#include <optional>

#include "tests/unit/server/store/tiers_fixture.h"

namespace larder::server {
namespace {

constexpr uint64_t kRecordBytes = 5'440 + 256;  // of TestManifest's frames on SSD

Config WithTenants() {
  Config config;
  config.tenants = {{.tenant = "quota", .ssd_quota_bytes = 6 * kRecordBytes},
                    {.tenant = "reserve", .ssd_reserve_bytes = 4 * kRecordBytes}};
  return config;
}

// One disk under one store after another.
class RestartTest : public ::testing::Test {
 protected:
  class Run : public TieredStore {
   public:
    using TieredStore::AllWritten;
    using TieredStore::GetFrame;
    using TieredStore::Look;
    using TieredStore::Put;
    using TieredStore::PutChain;
    using TieredStore::PutWritten;
    using TieredStore::Resident;
    explicit Run(FakeSsdDisk& disk, const Config& config = {}) : TieredStore(disk, config) {}
    void TestBody() override {}
    void PutAs(const char* tenant) {
      space = store.Register(tenant, TestManifest()).value()[0];
    }
    uint64_t SsdRecordsOf(size_t account) {
      const uint64_t bytes = store.TenantSamples()[account].ssd_used_bytes;
      EXPECT_EQ(bytes % kRecordBytes, 0u);
      return bytes / kRecordBytes;
    }
  };
  FakeSsdDisk disk_;
};

TEST_F(RestartTest, WhatWasOnSsdIsServedAgain) {
  { Run(disk_).PutWritten(1, 20, /*chain=*/true); }
  Run run(disk_);
  EXPECT_EQ(run.store.blocks().stats().restored, 20u);
  EXPECT_EQ(run.Resident(1, 20), 20u);
  for (uint64_t number = 1; number <= 20; ++number) {
    const Bytes expected = FrameOf(*run.space, number, number == 1 ? 0 : number - 1, number);
    EXPECT_EQ(run.GetFrame(number), expected);
  }
  EXPECT_EQ(run.Put(21, 20), PutOutcome::kStored);  // the chain goes on
}

TEST_F(RestartTest, WhatHasLostItsHeadIsDropped) {
  { Run(disk_).PutWritten(1, 5, /*chain=*/true); }
  for (auto record = disk_.records.begin(); record != disk_.records.end(); ++record) {
    if (!record->second.first.record.parent.empty()) continue;
    disk_.records.erase(record);
    break;
  }
  Run run(disk_);
  EXPECT_EQ(run.store.blocks().stats().blocks, 0u);
  EXPECT_EQ(disk_.records.size(), 0u);  // the tier was told
}

TEST_F(RestartTest, FindsTheRetentionThatABlockHadLast) {
  {
    Run run(disk_);
    run.Put(1, 0, {.priority = 70, .ttl = std::chrono::milliseconds(60'000)});
    ASSERT_TRUE(run.AllWritten());
    const std::vector<PrefixHash> hashes = {HashOf(1)};
    ASSERT_EQ(run.store.blocks().Retain(
                  *run.space, hashes, {.priority = 20, .ttl = std::chrono::milliseconds(9'000)}),
              1u);
  }
  EXPECT_EQ(disk_.records.begin()->second.first.record.priority, 20);
  Run run(disk_);
  EXPECT_EQ(run.Resident(1, 1), 1u);
  run.clock.Advance(std::chrono::seconds(10));
  run.store.Advance();
  EXPECT_EQ(run.Resident(1, 1), 0u);
}

TEST_F(RestartTest, FindsTheRetentionThatChangedDuringTheWriteOrAMove) {
  Run run(disk_);
  ASSERT_EQ(run.Put(1), PutOutcome::kStored);
  const std::vector<PrefixHash> hashes = {HashOf(1)};
  const auto retain = [&](uint8_t priority) {
    return run.store.blocks().Retain(*run.space, hashes, {.priority = priority});
  };
  ASSERT_EQ(retain(30), 1u);  // before, during or after the write, which is under way
  ASSERT_TRUE(run.AllWritten());
  ASSERT_EQ(disk_.records.size(), 1u);
  SsdEntry& entry = disk_.records.begin()->second.first;
  EXPECT_EQ(entry.record.priority, 30);
  // A move that read the record before the next change, and ends after it.
  const SsdEntry from = entry;
  ASSERT_EQ(retain(40), 1u);
  entry = from;
  entry.location.generation += 1;
  ASSERT_TRUE(run.store.migrate()->Moved(from, entry.location));
  EXPECT_EQ(entry.record.priority, 40);
}

TEST_F(RestartTest, TimesToLiveGoOn) {
  {
    Run run(disk_);
    run.Put(1, 0, {.priority = 70, .ttl = std::chrono::milliseconds(60'000)});
    ASSERT_TRUE(run.AllWritten());
  }
  Run run(disk_);
  EXPECT_EQ(run.Resident(1, 1), 1u);
  run.clock.Advance(std::chrono::seconds(61));
  run.store.Advance();
  EXPECT_EQ(run.Resident(1, 1), 0u);
}

TEST_F(RestartTest, BlocksOfSpacesThatNobodyRegisteredAreKept) {
  { Run(disk_).PutWritten(1, 3); }
  FakeSsdTier ssd(disk_);
  const SsdParts parts{ssd,
                       {},
                       [&](const std::function<void(const SsdEntry&)>& visit) {
                         return ssd.Recover(visit);
                       },
                       [](SsdOwner&) {}};
  ManualClock clock;
  Metrics metrics;
  FakeTier dram(uint64_t{1} << 20);
  Config config;
  config.dram_bytes = uint64_t{1} << 20;
  Store store(config, {dram, &parts}, clock, metrics);
  EXPECT_EQ(store.blocks().stats().ssd_blocks, 3u);
  EXPECT_TRUE(store.spaces().All().empty());
  const SpaceEntry* space = store.spaces().Register("default", TestManifest()).value()[0];
  const std::vector<PrefixHash> hashes = {HashOf(1), HashOf(2), HashOf(3)};
  EXPECT_EQ(store.blocks().FindPrefix(*space, hashes, Fidelity::kUnspecified, false).blocks.size(),
            3u);
  EXPECT_EQ(space->blocks.load(), 3u);
  store.StopMigrate();
}

TEST_F(RestartTest, BlocksCountForEverybodyUntilTheirTenantComesBack) {
  {
    Run run(disk_, WithTenants());
    run.PutAs("quota");
    run.PutWritten(1, 20);
    EXPECT_EQ(run.SsdRecordsOf(1), 6u);  // and eight in memory
    EXPECT_EQ(run.Resident(6, 6), 0u);
    EXPECT_EQ(run.Resident(7, 7), 1u);
    run.PutAs("reserve");
    run.PutWritten(1, 10);
  }
  Run run(disk_, WithTenants());
  const uint64_t restored = run.store.blocks().stats().restored;
  EXPECT_EQ(run.SsdRecordsOf(0), restored);
  run.PutAs("quota");
  EXPECT_EQ(run.SsdRecordsOf(1), 6u);  // what is over it has gone
  EXPECT_EQ(run.space->blocks.load(), 6u);
  EXPECT_EQ(run.store.TenantSamples()[1].ssd_quota_bytes, 6 * kRecordBytes);
  run.PutAs("reserve");
  EXPECT_EQ(run.SsdRecordsOf(2), 10u);
  EXPECT_EQ(run.SsdRecordsOf(0), 0u);
  EXPECT_EQ(run.Resident(1, 10), 10u);
}

TEST_F(RestartTest, RecordsThatAreNotOursAreErased) {
  disk_.records["short"] = {SsdEntry{{.key = "short"}, {.generation = 1, .frame_bytes = 4}},
                            std::vector<std::byte>(4)};
  Run run(disk_);
  EXPECT_EQ(run.store.blocks().stats().blocks, 0u);
  EXPECT_EQ(disk_.records.size(), 0u);
}

// Blocks of a whole SSD tier beside those of tenants.
class FloodTest : public TiersTest {
 protected:
  static constexpr uint64_t kRoom = 30;  // records
  FloodTest() : TiersTest(WithTenants(), kRoom * kRecordBytes * 4 / 3) {}
  void PutAs(const char* tenant) { space = store.Register(tenant, TestManifest()).value()[0]; }
};

TEST_F(FloodTest, NobodysFloodTakesFromAReserveOnSsd) {
  PutAs("reserve");
  PutWritten(1, 4);
  PutAs("default");
  for (uint64_t number = 1; number <= 80; ++number) {
    ASSERT_EQ(Put(number, 0, {.priority = 90}), PutOutcome::kStored);
    ASSERT_TRUE(AllWritten());
    ASSERT_LE(store.blocks().stats().ssd_bytes, kRoom * kRecordBytes);
  }
  EXPECT_EQ(store.TenantSamples()[2].ssd_used_bytes, 4 * kRecordBytes);
  PutAs("reserve");
  EXPECT_EQ(Resident(1, 4), 4u);
  EXPECT_TRUE(OnSsdAlone(1));
  EXPECT_EQ(store.migrate()->stats().no_room, 0u);
}

TEST_F(FloodTest, ADiskThatShrinksTakesReservesLast) {
  PutAs("reserve");
  PutWritten(1, 4);
  PutAs("default");
  PutWritten(1, 10);
  const uint64_t held = store.blocks().stats().ssd_bytes;
  EXPECT_TRUE(store.blocks().MakeRoomOnSsd(0, held - 2 * kRecordBytes, {}));
  EXPECT_EQ(store.TenantSamples()[2].ssd_used_bytes, 4 * kRecordBytes);
  EXPECT_FALSE(store.blocks().MakeRoomOnSsd(0, 0, {}));
  EXPECT_EQ(store.TenantSamples()[2].ssd_used_bytes, 4 * kRecordBytes);
  EXPECT_TRUE(store.blocks().MakeRoomOnSsd(0, 0, {.wanted_now = true, .of_disk = true}));
  EXPECT_EQ(store.TenantSamples()[2].ssd_used_bytes, 0u);
}

using BlockStoreTiersTest = TiersTest;

TEST_F(BlockStoreTiersTest, OtherBytesConflictWithWhatIsOnSsdAlone) {
  PutWritten(1, 2 * kBlocks);
  ASSERT_TRUE(OnSsdAlone(1));
  EXPECT_EQ(Put(1), PutOutcome::kAlreadyPresent);
  EXPECT_EQ(PutFrame(FrameOf(*space, 1, 0, 999)).outcome, PutOutcome::kConflict);
  EXPECT_EQ(GetFrame(1), FrameOf(*space, 1, 0, 1));
}

TEST_F(BlockStoreTiersTest, AnOperatorsEvictTakesBothCopies) {
  PutWritten(1, 2 * kBlocks);
  EXPECT_EQ(store.blocks().Evict(*space, {}).evicted, 2 * kBlocks);
  EXPECT_EQ(ssd.records(), 0u);
  EXPECT_EQ(store.blocks().stats().blocks, 0u);
}

// A kill right after would make it a block that never expires.
TEST_F(BlockStoreTiersTest, ABlockThatExpiresDuringItsWriteKeepsItsTimesOnSsd) {
  ssd.FailAppends(absl::UnavailableError("this test writes"));
  ASSERT_EQ(Put(1, 0, {.ttl = std::chrono::milliseconds(500)}), PutOutcome::kStored);
  const PinSet pin = store.blocks().PinBlock(*space, HashOf(1));
  std::optional<BlockStore::SsdWrite> write;
  ASSERT_TRUE(Eventually([&] {
    write = store.blocks().BeginWrite(pin.blocks()[0]);
    return write.has_value();
  }));
  const SsdLocation location = {.generation = 1, .offset = 77, .frame_bytes = 5440};
  disk().records[write->record.key] = {SsdEntry{write->record, location}, {}};
  clock.Advance(std::chrono::seconds(1));
  store.Advance();
  store.blocks().EndWrite(*std::move(write), location);
  EXPECT_EQ(ssd.retains(), 0u);
}

TEST_F(BlockStoreTiersTest, LeasedBlocksStayOnSsdToo) {
  PutWritten(1, 2 * kBlocks);
  const LookupAnswer answer = Look(1, 2 * kBlocks, /*lease_ms=*/10'000);
  ASSERT_EQ(answer.blocks.size(), 2 * kBlocks);
  EXPECT_EQ(store.blocks().Evict(*space, {}).evicted, 0u);
  EXPECT_FALSE(store.blocks().MakeRoomOnSsd(1 << 20, 1 << 20, {}));
  EXPECT_EQ(Resident(1, 2 * kBlocks), 2 * kBlocks);
}

}  // namespace
}  // namespace larder::server
