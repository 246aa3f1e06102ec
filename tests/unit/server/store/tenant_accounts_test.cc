// Quotas and reserves as puts meet them: through ingest, over the whole store.
#include "server/store/tenant_accounts.h"

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

// Frames take 5,632 bytes, the tier holds eight. Budgets this small are not valid in a
// configuration file, and need no tier of gigabytes here.
constexpr uint64_t kSlabBytes = 11 * kGranuleBytes;

Config WithTenants() {
  Config config;
  config.codec = "raw";
  config.tenants = {{"quota", 3 * kSlabBytes, 0}, {"reserve", std::nullopt, 4 * kSlabBytes}};
  return config;
}

TEST(TenantAccountsTest, NumbersTheConfiguredTenantsAndNobodyElse) {
  const TenantAccounts tenants(WithTenants());
  EXPECT_EQ(tenants.Of("quota"), 1);
  EXPECT_EQ(tenants.Of("reserve"), 2);
  EXPECT_EQ(tenants.Of("default"), kSharedAccount);
  EXPECT_EQ(tenants.Of("*"), kSharedAccount);
  EXPECT_EQ(tenants.names(), (std::vector<std::string>{"*", "quota", "reserve"}));
  EXPECT_EQ(tenants.limits()[0], (TenantLimits{3 * kSlabBytes, 0}));
  EXPECT_EQ(tenants.limits()[1], (TenantLimits{kNoQuota, 4 * kSlabBytes}));
}

class TenantsInStoreTest : public StoreFixture {
 protected:
  TenantsInStoreTest() : StoreFixture(WithTenants()) {}

  void PutAs(const char* tenant) {
    space = store.spaces().Register(tenant, TestManifest()).value()[0];
  }
  uint64_t Blocks(const char* tenant) {
    PutAs(tenant);
    return space->blocks.load();
  }
  TenantSample Sample(size_t account) { return store.TenantSamples()[account]; }
};

TEST_F(TenantsInStoreTest, APutBeyondTheQuotaEvictsTheTenantsOwnColdest) {
  PutAs("default");
  ASSERT_EQ(Put(100), PutOutcome::kStored);  // the coldest of all
  PutAs("quota");
  for (uint64_t number = 1; number <= 5; ++number) ASSERT_EQ(Put(number), PutOutcome::kStored);
  EXPECT_EQ(Resident(1, 1), 0u);
  EXPECT_EQ(Resident(2, 2), 0u);
  EXPECT_EQ(Resident(3, 3), 1u);
  EXPECT_EQ(Sample(1).used_bytes, 3 * kSlabBytes);
  EXPECT_EQ(Sample(1).evicted_blocks, 2u);
  EXPECT_EQ(Blocks("default"), 1u);
}

TEST_F(TenantsInStoreTest, APutBeyondTheQuotaIsRefusedWhenNothingOfItsOwnMayGo) {
  PutAs("quota");
  for (uint64_t number = 1; number <= 3; ++number) ASSERT_EQ(Put(number), PutOutcome::kStored);
  for (uint64_t number = 1; number <= 3; ++number) Look(number, number, /*lease_ms=*/60'000);
  EXPECT_EQ(Put(4), PutOutcome::kNoRoom);
  EXPECT_EQ(Sample(1).no_room_blocks, 1u);
  PutAs("default");
  EXPECT_EQ(Put(5), PutOutcome::kStored);
}

TEST_F(TenantsInStoreTest, ALongChainWithinAQuotaKeepsItsHead) {
  PutAs("quota");
  ASSERT_EQ(Put(1), PutOutcome::kStored);
  ASSERT_EQ(Put(2, 1), PutOutcome::kStored);
  ASSERT_EQ(Put(3, 2), PutOutcome::kStored);
  EXPECT_EQ(Put(4, 3), PutOutcome::kNoRoom);  // all others are its ancestors
  EXPECT_EQ(Resident(1, 3), 3u);
}

TEST_F(TenantsInStoreTest, NobodyElsesPutsTakeFromAReserve) {
  PutAs("reserve");
  for (uint64_t number = 1; number <= 6; ++number) ASSERT_EQ(Put(number), PutOutcome::kStored);
  PutAs("default");
  for (uint64_t number = 11; number <= 40; ++number) ASSERT_EQ(Put(number), PutOutcome::kStored);
  EXPECT_EQ(Blocks("reserve"), 4u);
  EXPECT_EQ(Resident(3, 3) + Resident(4, 4) + Resident(5, 5) + Resident(6, 6), 4u);
  EXPECT_EQ(Blocks("default"), 4u);
}

TEST_F(TenantsInStoreTest, ATenantGetsItsReserveBackFromWhoeverHasIt) {
  PutAs("default");
  for (uint64_t number = 11; number <= 18; ++number)
    ASSERT_EQ(Put(number, 0, {.priority = 100}), PutOutcome::kStored);
  PutAs("reserve");
  for (uint64_t number = 1; number <= 4; ++number)
    ASSERT_EQ(Put(number, 0, {.priority = 0}), PutOutcome::kStored);
  EXPECT_EQ(Blocks("reserve"), 4u);
  // Beyond it the priorities decide, and only its own are not higher.
  PutAs("reserve");
  ASSERT_EQ(Put(5, 0, {.priority = 0}), PutOutcome::kStored);
  EXPECT_EQ(Blocks("reserve"), 4u);
  EXPECT_EQ(Resident(5, 5), 1u);
  ASSERT_EQ(Put(6, 0, {.priority = 100}), PutOutcome::kStored);
  EXPECT_EQ(Blocks("reserve"), 5u);
}

TEST_F(TenantsInStoreTest, APutFindsNoRoomAmongBlocksOfHigherPriority) {
  PutAs("default");
  for (uint64_t number = 11; number <= 18; ++number)
    ASSERT_EQ(Put(number, 0, {.priority = 60}), PutOutcome::kStored);
  EXPECT_EQ(Put(1, 0, {.priority = 59}), PutOutcome::kNoRoom);
  EXPECT_EQ(Put(2, 0, {.priority = 60}), PutOutcome::kStored);
}

TEST_F(TenantsInStoreTest, UsageIsGivenBackHoweverABlockLeaves) {
  PutAs("quota");
  ASSERT_EQ(Put(1, 0, {.ttl = std::chrono::milliseconds(1'000)}), PutOutcome::kStored);
  ASSERT_EQ(Put(2), PutOutcome::kStored);
  ASSERT_EQ(Put(3), PutOutcome::kStored);
  clock.Advance(std::chrono::seconds(2));
  store.Advance();
  EXPECT_EQ(Sample(1).used_bytes, 2 * kSlabBytes);
  store.blocks().Evict(*space, Hashes(2, 2));
  EXPECT_EQ(Sample(1).used_bytes, kSlabBytes);
  store.blocks().Evict(*space, {});
  EXPECT_EQ(Sample(1).used_bytes, 0u);
}

TEST_F(TenantsInStoreTest, ConcurrentPutsNeverEndBeyondTheQuota) {
  const SpaceEntry* spaces[] = {
      store.spaces().Register("quota", TestManifest()).value()[0],
      store.spaces().Register("quota", TestManifest(4'900)).value()[0],
      store.spaces().Register("default", TestManifest()).value()[0],
  };
  std::atomic<uint64_t> stored = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (uint64_t number = 1; number <= 300; ++number) {
          const Bytes frame = FrameOf(*spaces[t], number, 0, number);
          IngestSession session = store.OpenIngest(*spaces[t], 1);
          ASSERT_TRUE(session.Begin(0, frame.size(), {}).ok());
          ASSERT_TRUE(session.Write(0, frame).ok());
          if (FinishNow(session)[0].outcome == PutOutcome::kStored) ++stored;
          ASSERT_LE(Sample(1).used_bytes, 3 * kSlabBytes);
        }
      });
    }
  }
  EXPECT_GT(stored.load(), 300u);
}

}  // namespace
}  // namespace larder::server
