#include "server/memory/slab_allocator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace larder::server {
namespace {

uint32_t PagesOf(const Extents& extents) {
  uint32_t granules = 0;
  for (const Extent& extent : extents) granules += extent.granules;
  return granules;
}

TEST(SlabAllocatorTest, GivesTheWholeRangeAsOneExtent) {
  SlabAllocator slabs(1000);
  const auto slab = slabs.Allocate(1000);
  ASSERT_TRUE(slab.has_value());
  ASSERT_EQ(slabs.ExtentsOf(*slab).size(), 1u);
  EXPECT_EQ(slabs.ExtentsOf(*slab)[0].first_granule, 0u);
  EXPECT_EQ(slabs.free_granules(), 0u);
  EXPECT_FALSE(slabs.Allocate(1).has_value());
}

TEST(SlabAllocatorTest, WorksWithASinglePage) {
  SlabAllocator slabs(1);
  for (int round = 0; round < 3; ++round) {
    const auto slab = slabs.Allocate(1);
    ASSERT_EQ(slab, std::optional<SlabRef>(0));
    EXPECT_FALSE(slabs.Allocate(1).has_value());
    slabs.Free(*slab);
  }
}

TEST(SlabAllocatorTest, ManagesTheLargestRangeWithoutTouchingItsBookkeeping) {
  SlabAllocator slabs(SlabAllocator::kGranulesMax);
  const auto slab = slabs.Allocate(SlabAllocator::kGranulesMax - 1);
  ASSERT_TRUE(slab.has_value());
  const auto last = slabs.Allocate(1);
  ASSERT_EQ(last, std::optional<SlabRef>(SlabAllocator::kGranulesMax - 1));
  slabs.Free(*slab);
  slabs.Free(*last);
  EXPECT_EQ(slabs.free_granules(), SlabAllocator::kGranulesMax);
}

TEST(SlabAllocatorTest, PrefersOneRunThatFits) {
  SlabAllocator slabs(100);
  const auto a = slabs.Allocate(10);
  const auto b = slabs.Allocate(20);
  const auto c = slabs.Allocate(10);
  ASSERT_TRUE(slabs.Allocate(60).has_value());
  slabs.Free(*a);
  slabs.Free(*c);
  const auto fits = slabs.Allocate(10);
  EXPECT_EQ(slabs.ExtentsOf(*fits).size(), 1u);
  slabs.Free(*b);
  EXPECT_EQ(slabs.ExtentsOf(*slabs.Allocate(25)).size(),
            1u);  // b and its freed neighbour are one run
}

TEST(SlabAllocatorTest, CombinesRunsWhenNoneIsLongEnough) {
  SlabAllocator slabs(64);
  std::vector<SlabRef> eighths;
  for (int i = 0; i < 8; ++i) eighths.push_back(*slabs.Allocate(8));
  for (int i = 0; i < 8; i += 2) slabs.Free(eighths[i]);
  const auto slab = slabs.Allocate(30);
  ASSERT_TRUE(slab.has_value());
  EXPECT_EQ(slabs.ExtentsOf(*slab).size(), 4u);
  EXPECT_EQ(PagesOf(slabs.ExtentsOf(*slab)), 30u);
  EXPECT_EQ(slabs.free_granules(), 2u);
}

TEST(SlabAllocatorTest, RefusesASlabOfTooManyExtentsAndLosesNothing) {
  constexpr uint32_t kSingles = 4 * SlabAllocator::ExtentsMax(1);
  SlabAllocator slabs(kSingles);
  std::vector<SlabRef> singles;
  for (uint32_t i = 0; i < kSingles; ++i) singles.push_back(*slabs.Allocate(1));
  for (uint32_t i = 0; i < kSingles; i += 2) slabs.Free(singles[i]);
  const uint32_t extents_max = SlabAllocator::ExtentsMax(1);
  EXPECT_FALSE(slabs.Allocate(extents_max + 1).has_value());
  EXPECT_EQ(slabs.free_granules(), kSingles / 2);
  const auto slab = slabs.Allocate(extents_max);
  ASSERT_TRUE(slab.has_value());
  EXPECT_EQ(slabs.ExtentsOf(*slab).size(), extents_max);
  slabs.Free(singles[1]);  // joins its neighbours unless the slab took them
  EXPECT_TRUE(slabs.Allocate(extents_max + 1).has_value());
}

TEST(SlabAllocatorDeathTest, AbortsOnAnyReferenceThatIsNotALiveSlab) {
  SlabAllocator slabs(64);
  const SlabRef a = *slabs.Allocate(8);
  const SlabRef b = *slabs.Allocate(8);
  const SlabRef c = *slabs.Allocate(48);
  EXPECT_DEATH(slabs.Free(a + 1), "bug");  // inside a slab
  EXPECT_DEATH(slabs.Free(64), "bug");     // outside the range
  EXPECT_DEATH(slabs.Free(kNoSlab), "bug");
  slabs.Free(a);
  EXPECT_DEATH(slabs.Free(a), "bug");  // double free
  EXPECT_DEATH(slabs.ExtentsOf(a), "bug");
  slabs.Free(b);
  EXPECT_DEATH(slabs.Free(b), "bug");  // double free of a run that has merged
  slabs.Free(c);
  const SlabRef d = *slabs.Allocate(4);
  const SlabRef e = *slabs.Allocate(56);
  slabs.Free(d);
  const SlabRef pieced = *slabs.Allocate(8);  // 4 granules at the front, 4 at the end
  ASSERT_EQ(slabs.ExtentsOf(pieced).size(), 2u);
  EXPECT_DEATH(slabs.Free(slabs.ExtentsOf(pieced)[1].first_granule), "bug");
  slabs.Free(e);
}

// Every granule's owner, kept the slow and obvious way.
class NaivePages {
 public:
  explicit NaivePages(uint32_t granules) : owner_(granules, kFree) {}

  void Take(SlabRef slab, const Extents& extents) {
    for (const Extent& extent : extents) {
      ASSERT_GT(extent.granules, 0u);
      ASSERT_LE(uint64_t{extent.first_granule} + extent.granules, owner_.size());
      for (uint32_t i = 0; i < extent.granules; ++i) {
        ASSERT_EQ(owner_[extent.first_granule + i], kFree);
        owner_[extent.first_granule + i] = slab;
      }
    }
  }
  void Give(SlabRef slab) { std::replace(owner_.begin(), owner_.end(), int64_t{slab}, kFree); }
  uint32_t free() const { return std::count(owner_.begin(), owner_.end(), kFree); }
  uint32_t LongestRun() const {
    uint32_t longest = 0, run = 0;
    for (const int64_t owner : owner_)
      longest = std::max(longest, run = owner == kFree ? run + 1 : 0);
    return longest;
  }

 private:
  static constexpr int64_t kFree = -1;
  std::vector<int64_t> owner_;
};

TEST(SlabAllocatorTest, AgreesWithANaiveModelUnderRandomUse) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    const uint32_t granules = 1 + random() % 300;
    const uint32_t request_max = 1 + random() % granules;
    SlabAllocator slabs(granules);
    NaivePages naive(granules);
    std::vector<std::pair<SlabRef, uint32_t>> live;
    for (int step = 0; step < 1'000; ++step) {
      if (live.empty() || random() % 2 == 0) {
        const uint32_t request = 1 + random() % request_max;
        const uint32_t longest = naive.LongestRun();
        const auto slab = slabs.Allocate(request);
        if (!slab.has_value()) {
          ASSERT_TRUE(request > naive.free() || request > SlabAllocator::ExtentsMax(request));
          ASSERT_LT(longest, request);
        } else {
          const Extents extents = slabs.ExtentsOf(*slab);
          ASSERT_EQ(PagesOf(extents), request);
          ASSERT_LE(extents.size(), SlabAllocator::ExtentsMax(request));
          // In classes of one length a run that fits is always found.
          if (longest >= request && request < 16) {
            ASSERT_EQ(extents.size(), 1u);
          }
          ASSERT_NO_FATAL_FAILURE(naive.Take(*slab, extents));
          live.emplace_back(*slab, request);
        }
      } else {
        std::swap(live[random() % live.size()], live.back());
        naive.Give(live.back().first);
        slabs.Free(live.back().first);
        live.pop_back();
      }
      ASSERT_EQ(slabs.free_granules(), naive.free());
    }
    for (const auto& [slab, request] : live) {
      ASSERT_EQ(PagesOf(slabs.ExtentsOf(slab)), request);
      slabs.Free(slab);
    }
    const auto whole = slabs.Allocate(granules);  // everything has merged into one run
    ASSERT_TRUE(whole.has_value());
    ASSERT_EQ(slabs.ExtentsOf(*whole).size(), 1u);
  }
}

// A million allocations and frees at full budget; returns the mean share of the budget that callers
// have asked for, over all moments at which an allocation failed.
template <typename NextBytes>
double UtilisationUnderPressure(uint64_t budget_bytes, uint64_t seed, NextBytes next_bytes) {
  std::mt19937_64 random(seed);
  SlabAllocator slabs(budget_bytes / kGranuleBytes);
  std::vector<std::pair<SlabRef, uint64_t>> live;
  uint64_t used = 0, moments = 0;
  double sum = 0;
  uint64_t bytes = next_bytes(random);
  for (int step = 0; step < 1'000'000; ++step) {
    const auto slab = slabs.Allocate((bytes + kGranuleBytes - 1) / kGranuleBytes);
    if (slab.has_value()) {
      live.emplace_back(*slab, bytes);
      used += bytes;
      bytes = next_bytes(random);
      continue;
    }
    sum += static_cast<double>(used) / budget_bytes;
    ++moments;
    std::swap(live[random() % live.size()], live.back());
    used -= live.back().second;
    slabs.Free(live.back().first);
    live.pop_back();
  }
  return sum / moments;
}

TEST(SlabAllocatorTest, StaysFullUnderUniformSizes) {
  const uint64_t seed = std::random_device{}();
  EXPECT_GE(UtilisationUnderPressure(
                uint64_t{1} << 30, seed,
                [](auto& random) { return 4096 + random() % ((8u << 20) - 4096 + 1); }),
            0.97)
      << "seed " << seed;
}

TEST(SlabAllocatorTest, StaysFullUnderLogUniformSizes) {
  const uint64_t seed = std::random_device{}();
  EXPECT_GE(
      UtilisationUnderPressure(uint64_t{1} << 30, seed,
                               [](auto& random) {
                                 const double exponent = (random() >> 11) * 0x1p-53;
                                 return static_cast<uint64_t>(4096 * std::exp2(11 * exponent));
                               }),
      0.97)
      << "seed " << seed;
}

}  // namespace
}  // namespace larder::server
