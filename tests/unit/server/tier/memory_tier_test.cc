// What is MemoryTier's own; the rest is in tests/conformance/tier_conformance.cc.
#include "server/tier/memory_tier.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/fakes/fake_arena.h"

namespace larder::server {
namespace {

TEST(MemoryTierTest, SpansLieInTheArenaInOrderAndShowFragmentation) {
  FakeArena arena(8);
  MemoryTier tier(TierKind::kDram, arena);
  std::vector<SlabRef> granules;
  for (int i = 0; i < 8; ++i) granules.push_back(*tier.Reserve(kGranuleBytes));
  tier.Free(granules[1]);
  tier.Free(granules[5]);
  const auto slab = tier.Reserve(kGranuleBytes + 10);
  ASSERT_TRUE(slab.has_value());
  const ByteSpans spans = tier.SpansOf(*slab, kGranuleBytes + 10);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].size(), kGranuleBytes);
  EXPECT_EQ(spans[1].size(), 10u);
  for (const auto& span : spans) {
    const auto granule = (span.data() - arena.memory().data()) / kGranuleBytes;
    EXPECT_TRUE(granule == 1 || granule == 5) << granule;
  }
}

TEST(MemoryTierTest, ReportsTheKindItWasGiven) {
  FakeArena arena(1);
  EXPECT_EQ(MemoryTier(TierKind::kDram, arena).kind(), TierKind::kDram);
  EXPECT_EQ(MemoryTier(TierKind::kHbm, arena).kind(), TierKind::kHbm);
}

TEST(MemoryTierDeathTest, AbortsWhenMoreIsReadThanWasReserved) {
  FakeArena arena(4);
  MemoryTier tier(TierKind::kDram, arena);
  const auto slab = tier.Reserve(10);
  EXPECT_DEATH(tier.SpansOf(*slab, kGranuleBytes + 1), "bug");
}

}  // namespace
}  // namespace larder::server
