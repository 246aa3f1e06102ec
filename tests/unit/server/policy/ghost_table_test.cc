#include "server/policy/ghost_table.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace larder::server {
namespace {

TEST(GhostTableTest, RemembersOnceWhatItWasTold) {
  GhostTable ghosts(100);
  EXPECT_FALSE(ghosts.Take(42));
  ghosts.Remember(42);
  EXPECT_FALSE(ghosts.Take(43));  // same slot, other fingerprint
  EXPECT_TRUE(ghosts.Take(42));
  EXPECT_FALSE(ghosts.Take(42));
}

TEST(GhostTableTest, NeverKnowsAFingerprintOfZero) {
  GhostTable ghosts(100);
  EXPECT_FALSE(ghosts.Take(0));
  ghosts.Remember(0);
  EXPECT_FALSE(ghosts.Take(0));
}

TEST(GhostTableTest, TheNewerOfTwoInOneSlotStays) {
  GhostTable ghosts(1);
  ghosts.Remember(1);
  ghosts.Remember(UINT64_MAX);
  EXPECT_FALSE(ghosts.Take(1));
  EXPECT_TRUE(ghosts.Take(UINT64_MAX));
}

TEST(GhostTableTest, RemembersAboutAThirdAfterAsManyEvictionsAsItHasSlots) {
  constexpr size_t kSlots = 10'000;
  GhostTable ghosts(kSlots);
  std::mt19937_64 random(1);
  std::vector<uint64_t> old(1'000);
  for (uint64_t& fingerprint : old) ghosts.Remember(fingerprint = random());
  for (size_t i = 0; i < kSlots; ++i) ghosts.Remember(random());
  size_t remembered = 0;
  for (const uint64_t fingerprint : old) remembered += ghosts.Take(fingerprint);
  EXPECT_GT(remembered, 280u);  // 1/e of 1,000, less what they took from each other
  EXPECT_LT(remembered, 420u);
}

}  // namespace
}  // namespace larder::server
