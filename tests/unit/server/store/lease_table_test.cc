#include "server/store/lease_table.h"

#include "proto/contract/limits.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

using std::chrono::milliseconds;

class LeaseTableTest : public StoreFixture {
 protected:
  LeaseTableTest() {
    Put(1);
    leases = std::make_unique<LeaseTable>(LeaseTable::Options{3, 2, 100, clock, RandomLeaseId});
  }
  PinSet Pin() { return store.blocks().PinBlock(*space, HashOf(1)); }

  std::unique_ptr<LeaseTable> leases;
};

TEST_F(LeaseTableTest, CapsPerClientAndInAll) {
  const auto first = leases->Grant("a", Pin(), milliseconds(100));
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(leases->Grant("a", Pin(), milliseconds(100)).ok());
  EXPECT_EQ(leases->Grant("a", Pin(), milliseconds(100)).status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(leases->Grant("b", Pin(), milliseconds(100)).ok());
  EXPECT_EQ(leases->Grant("c", Pin(), milliseconds(100)).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(leases->Release(*first));
  EXPECT_TRUE(leases->Grant("a", Pin(), milliseconds(100)).ok());
  EXPECT_EQ(leases->size(), 3u);
}

TEST_F(LeaseTableTest, ARefusedGrantLetsItsPinsGo) {
  leases = std::make_unique<LeaseTable>(LeaseTable::Options{0, 2, 100, clock, RandomLeaseId});
  EXPECT_FALSE(leases->Grant("a", Pin(), milliseconds(100)).ok());
  EXPECT_EQ(store.blocks().stats().pinned_blocks, 0u);
}

TEST_F(LeaseTableTest, CapsTheReferencesOfAllLeases) {
  leases = std::make_unique<LeaseTable>(LeaseTable::Options{3, 3, 2, clock, RandomLeaseId});
  const auto first = leases->Grant("a", Pin(), milliseconds(100));
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(leases->Grant("a", Pin(), milliseconds(100)).ok());
  EXPECT_EQ(leases->Grant("a", Pin(), milliseconds(100)).status().code(),
            absl::StatusCode::kResourceExhausted);
  leases->Release(*first);
  EXPECT_TRUE(leases->Grant("a", Pin(), milliseconds(100)).ok());
}

TEST_F(LeaseTableTest, EndsOnTimeUnlessRenewed) {
  const std::string id = *leases->Grant("a", Pin(), milliseconds(100));
  clock.Advance(milliseconds(99));
  EXPECT_TRUE(leases->CheckLive(id).ok());
  EXPECT_TRUE(leases->Renew(id, milliseconds(50)).ok());
  clock.Advance(milliseconds(49));
  EXPECT_TRUE(leases->CheckLive(id).ok());
  clock.Advance(milliseconds(1));
  EXPECT_EQ(leases->CheckLive(id).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(leases->Renew(id, milliseconds(50)).code(), absl::StatusCode::kFailedPrecondition);
  leases->Advance();
  EXPECT_EQ(leases->size(), 0u);
  EXPECT_EQ(store.blocks().stats().pinned_blocks, 0u);
}

TEST_F(LeaseTableTest, ReleaseIsIdempotentAndForgedIdsDoNothing) {
  const std::string id = *leases->Grant("a", Pin(), milliseconds(100));
  EXPECT_FALSE(leases->Release(std::string(16, 'x')));
  EXPECT_TRUE(leases->Release(id));
  EXPECT_FALSE(leases->Release(id));
  EXPECT_EQ(store.blocks().stats().pinned_blocks, 0u);
}

TEST_F(LeaseTableTest, IdsDoNotRepeat) { EXPECT_NE(RandomLeaseId(), RandomLeaseId()); }

}  // namespace
}  // namespace larder::server
