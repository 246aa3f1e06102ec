// What every Tier must do, run over every Tier.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/memory/host_arena.h"
#include "server/tier/memory_tier.h"
#include "tests/fakes/fake_arena.h"
#include "tests/fakes/fake_tier.h"

namespace larder::server {
namespace {

constexpr uint64_t kGranules = 256;
constexpr uint64_t kBudget = kGranules * kGranuleBytes;

// A tier of kBudget bytes with what it stands on.
struct TierUnderTest {
  std::unique_ptr<Arena> arena;
  std::unique_ptr<Tier> tier;
};

struct TierCase {
  std::string name;
  std::function<TierUnderTest()> make;
};

TierUnderTest OverArena(std::unique_ptr<Arena> arena) {
  auto tier = std::make_unique<MemoryTier>(TierKind::kDram, *arena);
  return {std::move(arena), std::move(tier)};
}

class TierConformance : public testing::TestWithParam<TierCase> {
 protected:
  TierUnderTest under_test_ = GetParam().make();
  Tier& tier_ = *under_test_.tier;
};

// The byte at `position` of a slab filled with `pattern`.
std::byte ByteAt(uint64_t pattern, uint64_t position) {
  return static_cast<std::byte>(pattern * 167 + position + (position >> 8) * 31);
}

void Fill(const ByteSpans& spans, uint64_t pattern) {
  uint64_t position = 0;
  for (const auto& span : spans) {
    for (std::byte& byte : span) byte = ByteAt(pattern, position++);
  }
}

bool Holds(const ByteSpans& spans, uint64_t pattern) {
  uint64_t position = 0;
  for (const auto& span : spans) {
    for (const std::byte byte : span) {
      if (byte != ByteAt(pattern, position++)) return false;
    }
  }
  return true;
}

uint64_t TotalBytes(const ByteSpans& spans) {
  uint64_t bytes = 0;
  for (const auto& span : spans) bytes += span.size();
  return bytes;
}

TEST_P(TierConformance, StartsEmpty) {
  const TierUsage usage = tier_.usage();
  EXPECT_EQ(usage.budget_bytes, kBudget);
  EXPECT_EQ(usage.used_bytes, 0u);
  EXPECT_EQ(usage.slabs, 0u);
}

TEST_P(TierConformance, CountsWholePages) {
  ASSERT_TRUE(tier_.Reserve(1).has_value());
  ASSERT_TRUE(tier_.Reserve(kGranuleBytes).has_value());
  ASSERT_TRUE(tier_.Reserve(kGranuleBytes + 1).has_value());
  EXPECT_EQ(tier_.usage().used_bytes, 4 * kGranuleBytes);
  EXPECT_EQ(tier_.usage().slabs, 3u);
}

TEST_P(TierConformance, ReservesTheWholeBudgetAndNotAByteMore) {
  const auto whole = tier_.Reserve(kBudget);
  ASSERT_TRUE(whole.has_value());
  EXPECT_FALSE(tier_.Reserve(1).has_value());
  EXPECT_EQ(tier_.usage().used_bytes, kBudget);
  tier_.Free(*whole);
  EXPECT_FALSE(tier_.Reserve(kBudget + 1).has_value());
  EXPECT_FALSE(tier_.Reserve(UINT64_MAX).has_value());
  EXPECT_TRUE(tier_.Reserve(kBudget).has_value());
}

TEST_P(TierConformance, SpansHoldExactlyTheBytesAskedFor) {
  const uint64_t reserved = 3 * kGranuleBytes + 5;
  const auto slab = tier_.Reserve(reserved);
  ASSERT_TRUE(slab.has_value());
  for (const uint64_t bytes : {uint64_t{1}, kGranuleBytes, kGranuleBytes + 1, reserved}) {
    EXPECT_EQ(TotalBytes(tier_.SpansOf(*slab, bytes)), bytes);
  }
  EXPECT_EQ(TotalBytes(tier_.SpansOf(*slab, 0)), 0u);
}

TEST_P(TierConformance, ShorterSpansAreAPrefixOfLongerOnes) {
  const auto slab = tier_.Reserve(5 * kGranuleBytes);
  ASSERT_TRUE(slab.has_value());
  Fill(tier_.SpansOf(*slab, 5 * kGranuleBytes), 1);
  EXPECT_TRUE(Holds(tier_.SpansOf(*slab, 2 * kGranuleBytes + 77), 1));
}

TEST_P(TierConformance, KeepsEverySlabsBytesApartUnderRandomUse) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  struct Live {
    SlabRef slab;
    uint64_t bytes;
    uint64_t pattern;
  };
  std::vector<Live> live;
  uint64_t refused = 0;
  for (uint64_t step = 0; step < 2'000; ++step) {
    const uint64_t bytes = 1 + random() % (24 * kGranuleBytes);
    if (const auto slab = tier_.Reserve(bytes); slab.has_value()) {
      Fill(tier_.SpansOf(*slab, bytes), step);
      live.push_back({*slab, bytes, step});
      continue;
    }
    ++refused;
    ASSERT_FALSE(live.empty());
    std::swap(live[random() % live.size()], live.back());
    const Live gone = live.back();
    live.pop_back();
    ASSERT_TRUE(Holds(tier_.SpansOf(gone.slab, gone.bytes), gone.pattern)) << "step " << step;
    tier_.Free(gone.slab);
  }
  EXPECT_GT(refused, 100u) << "the budget was hardly ever reached";
  for (const Live& left : live) {
    EXPECT_TRUE(Holds(tier_.SpansOf(left.slab, left.bytes), left.pattern));
    tier_.Free(left.slab);
  }
  EXPECT_EQ(tier_.usage().used_bytes, 0u);
  EXPECT_EQ(tier_.usage().slabs, 0u);
  EXPECT_TRUE(tier_.Reserve(kBudget).has_value());
}

TEST_P(TierConformance, HandleFreesUnlessDetached) {
  SlabRef kept = kNoSlab;
  {
    SlabHandle dropped(&tier_, *tier_.Reserve(100), 100);
    SlabHandle published(&tier_, *tier_.Reserve(200), 200);
    EXPECT_EQ(TotalBytes(published.spans()), 200u);
    SlabHandle moved = std::move(published);
    EXPECT_FALSE(static_cast<bool>(published));
    kept = moved.Detach();
    EXPECT_FALSE(static_cast<bool>(moved));
  }
  EXPECT_EQ(tier_.usage().slabs, 1u);
  tier_.Free(kept);
  EXPECT_EQ(tier_.usage().slabs, 0u);
}

TEST_P(TierConformance, ServesConcurrentCallers) {
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  std::vector<int> corrupt(kThreads, 0);
  std::vector<int> served(kThreads, 0);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 500; ++i) {
        const uint64_t bytes = 1 + (i * 977 + t * 131) % (20 * kGranuleBytes);
        const auto slab = tier_.Reserve(bytes);
        if (!slab.has_value()) continue;
        SlabHandle handle(&tier_, *slab, bytes);
        Fill(handle.spans(), i * kThreads + t);
        if (!Holds(handle.spans(), i * kThreads + t)) ++corrupt[t];
        ++served[t];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(corrupt, testing::Each(0));
  EXPECT_THAT(served, testing::Each(testing::Gt(0)));
  EXPECT_EQ(tier_.usage().used_bytes, 0u);
}

TEST_P(TierConformance, AbortsOnADoubleFree) {
  const auto slab = tier_.Reserve(10);
  tier_.Free(*slab);
  EXPECT_DEATH(tier_.Free(*slab), "bug");
}

INSTANTIATE_TEST_SUITE_P(
    Tiers, TierConformance,
    testing::Values(TierCase{"MemoryTierOverHost",
                             [] { return OverArena(*HostArena::Create({.bytes = kBudget})); }},
                    TierCase{"MemoryTierOverFake",
                             [] { return OverArena(std::make_unique<FakeArena>(kGranules)); }},
                    TierCase{"FakeTier",
                             [] {
                               return TierUnderTest{nullptr, std::make_unique<FakeTier>(kBudget)};
                             }}),
    [](const auto& info) { return info.param.name; });

// What is FakeTier's own.
TEST(FakeTierTest, RefusesAsManyReservesAsItWasToldTo) {
  FakeTier tier(kBudget);
  tier.FailNextReserves(2);
  EXPECT_FALSE(tier.Reserve(1).has_value());
  EXPECT_FALSE(tier.Reserve(1).has_value());
  EXPECT_TRUE(tier.Reserve(1).has_value());
  EXPECT_EQ(tier.live_slabs(), 1u);
}

TEST(FakeTierTest, SlabsOfMoreThanAPageAreInPieces) {
  FakeTier tier(kBudget);
  EXPECT_EQ(tier.SpansOf(*tier.Reserve(kGranuleBytes), kGranuleBytes).size(), 1u);
  EXPECT_EQ(tier.SpansOf(*tier.Reserve(kGranuleBytes + 1), kGranuleBytes + 1).size(), 2u);
}

}  // namespace
}  // namespace larder::server
