#include "server/store/lookup.h"

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

class LookupTest : public StoreFixture {};

TEST_F(LookupTest, FindsThePrefixAndWhyItEnds) {
  PutChain(1, 4);
  const LookupAnswer answer = Look(1, 6);
  EXPECT_EQ(answer.blocks.size(), 4u);
  EXPECT_EQ(answer.miss_reason, MissReason::kNeverSeen);
  EXPECT_TRUE(answer.lease_id.empty());
  EXPECT_EQ(Look(1, 4).miss_reason, MissReason::kNone);
}

TEST_F(LookupTest, ALeaseHoldsItsBlocksUntilItEnds) {
  PutChain(1, 4);
  const std::string lease = Look(1, 4, /*lease_ms=*/1000).lease_id;
  ASSERT_EQ(lease.size(), LeaseTable::kLeaseIdBytes);
  for (uint64_t other = 100; other < 120; ++other) Put(other);
  EXPECT_EQ(Resident(1, 4), 4u);
  clock.Advance(std::chrono::milliseconds(1001));
  store.Advance();
  EXPECT_EQ(store.blocks().stats().pinned_blocks, 0u);
  for (uint64_t other = 200; other < 220; ++other) Put(other);
  EXPECT_EQ(Resident(1, 4), 0u);
}

TEST_F(LookupTest, WithoutALeaseNothingIsRenewed) {
  for (uint64_t number = 1; number <= kBlocks; ++number) Put(number);
  Look(1, 1);
  Put(100);
  EXPECT_EQ(Resident(1, 1), 0u);
}

TEST_F(LookupTest, WithALeaseTheBlocksAreTouched) {
  for (uint64_t number = 1; number <= kBlocks; ++number) Put(number);
  store.leases().Release(Look(1, 1, 1000).lease_id);
  Put(100);
  EXPECT_EQ(Resident(1, 1), 1u);
  EXPECT_EQ(Resident(2, 2), 0u);
}

TEST_F(LookupTest, AnEvictedBlockSaysSo) {
  for (uint64_t number = 1; number <= kBlocks + 1; ++number) Put(number);
  EXPECT_EQ(Look(1, 1).miss_reason, MissReason::kEvicted);
}

TEST_F(LookupTest, OtherTenantsSeeNothing) {
  PutChain(1, 3);
  const SpaceEntry* other = store.spaces().Register("tenant-b", TestManifest()).value()[0];
  const auto answer = store.lookup().Run(*other, Hashes(1, 3), Fidelity::kUnspecified, "client",
                                         std::chrono::milliseconds(0));
  EXPECT_EQ(answer->blocks.size(), 0u);
}

TEST_F(LookupTest, CountsTokens) {
  PutChain(1, 3);
  Look(1, 4);
  EXPECT_EQ(space->lookup_tokens.load(), 4u * 16);
  EXPECT_EQ(space->hit_tokens.load(), 3u * 16);
}

class LookupLargeTest : public StoreFixture {
 protected:
  LookupLargeTest() : StoreFixture({}, uint64_t{1000} * kFrameGranules * kGranuleBytes) {}
};

TEST_F(LookupLargeTest, AChainLongerThanOneLockStepIsTouchedTailFirst) {
  PutChain(1, 700);
  store.leases().Release(Look(1, 700, 1000).lease_id);
  for (uint64_t other = 5000; other < 5000 + 700; ++other)
    ASSERT_EQ(Put(other), PutOutcome::kStored);
  const size_t left = Resident(1, 700);
  EXPECT_EQ(left, 300u);  // 1,000 fit; the chain lost exactly its tail
}

}  // namespace
}  // namespace larder::server
