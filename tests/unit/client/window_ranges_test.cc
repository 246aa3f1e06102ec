#include "client/window_ranges.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace larder {
namespace {

constexpr uint64_t kPage = WindowRanges::kAlignment;

TEST(WindowRangesTest, GivesTheLowestRangeThatFitsAndTakesItBack) {
  WindowRanges ranges(10 * kPage);
  const auto first = ranges.Take(1);
  const auto second = ranges.Take(3 * kPage);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->offset, 0u);
  EXPECT_EQ(second->offset, kPage);
  EXPECT_FALSE(ranges.Take(6 * kPage + 1));
  ranges.Free(*first);
  EXPECT_EQ(ranges.Take(100)->offset, 0u);
  EXPECT_EQ(ranges.used_bytes(), 4 * kPage);
}

TEST(WindowRangesTest, RefusesSizesThatOverflow) {
  WindowRanges ranges(10 * kPage);
  EXPECT_FALSE(ranges.Take(UINT64_MAX));
  EXPECT_FALSE(ranges.Take(UINT64_MAX - kPage + 2));
  EXPECT_TRUE(ranges.Take(10 * kPage));
}

TEST(WindowRangesTest, ARetiredRangeComesBackWhenProven) {
  WindowRanges ranges(2 * kPage);
  const auto whole = ranges.Take(2 * kPage);
  bool proven = false;
  ranges.Retire({{*whole, [&] { return proven; }}});
  EXPECT_EQ(ranges.retired_bytes(), 2 * kPage);
  EXPECT_FALSE(ranges.Take(1));
  proven = true;
  EXPECT_EQ(ranges.retired_bytes(), 0u);
  EXPECT_TRUE(ranges.Take(2 * kPage));
}

TEST(WindowRangesTest, RangesRetiredTogetherAreAskedInOrderBeforeAnyIsGivenAway) {
  WindowRanges ranges(2 * kPage);
  const auto slots = ranges.Take(kPage);
  const auto block = ranges.Take(kPage);
  std::vector<int> asked;
  ranges.Retire({{*slots, [&] { return asked.push_back(1), true; }},
                 {*block, [&] { return asked.push_back(2), false; }}});
  EXPECT_EQ(ranges.Take(kPage)->offset, slots->offset);
  EXPECT_EQ(asked, (std::vector<int>{1, 2}));
  EXPECT_FALSE(ranges.Take(kPage));  // asked again, and not proven
  EXPECT_EQ(asked, (std::vector<int>{1, 2, 2}));
}

TEST(WindowRangesTest, NeverOverlapsAndMergesEverythingInTheEnd) {
  WindowRanges ranges(64 * kPage);
  std::mt19937 random(1);
  std::vector<WindowSpan> held;
  std::vector<int> owners(64, 0);
  const auto mark = [&](const WindowSpan& span, int by) {
    for (uint64_t page = span.offset / kPage; page * kPage < span.offset + span.bytes; ++page) {
      owners[page] += by;
      EXPECT_TRUE(owners[page] == 0 || owners[page] == 1);
    }
  };
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0) {
      if (const auto span = ranges.Take(1 + random() % (9 * kPage))) {
        held.push_back(*span);
        mark(*span, 1);
      }
    } else if (!held.empty()) {
      const size_t at = random() % held.size();
      mark(held[at], -1);
      ranges.Free(held[at]);
      held.erase(held.begin() + static_cast<ptrdiff_t>(at));
    }
  }
  for (const WindowSpan& span : held) ranges.Free(span);
  EXPECT_EQ(ranges.used_bytes(), 0u);
  EXPECT_TRUE(ranges.Take(64 * kPage));
}

}  // namespace
}  // namespace larder
