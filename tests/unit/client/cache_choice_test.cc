#include "client/cache_choice.h"

#include <gtest/gtest.h>

namespace larder {
namespace {

using std::chrono::nanoseconds;

constexpr uint64_t kCall = 8 << 20;

// So many calls, which cost what they would; how many of them went into the caches.
int Calls(CacheChoice& choice, int calls, uint64_t bytes, nanoseconds past, nanoseconds into) {
  int cached = 0;
  for (int i = 0; i < calls; ++i) {
    const bool how = choice.Next(bytes);
    choice.Record(bytes, how, how ? into : past);
    cached += how ? 1 : 0;
  }
  return cached;
}

TEST(CacheChoiceTest, TakesWhatCostsLess) {
  CacheChoice into, past;
  EXPECT_GE(Calls(into, 1000, kCall, nanoseconds(900), nanoseconds(600)), 970);
  EXPECT_LE(Calls(past, 1000, kCall, nanoseconds(600), nanoseconds(900)), 30);
}

TEST(CacheChoiceTest, TriesTheOtherLessAndLessOften) {
  CacheChoice choice;
  Calls(choice, 1000, kCall, nanoseconds(600), nanoseconds(2400));
  const int tries = Calls(choice, 10'000, kCall, nanoseconds(600), nanoseconds(2400));
  EXPECT_GE(tries, 10'000 / static_cast<int>(CacheChoice::kTryEveryMax) - 1);
  EXPECT_LE(tries, 10'000 / static_cast<int>(CacheChoice::kTryEveryMax) + 1);
}

TEST(CacheChoiceTest, ChangesWithTheMachine) {
  CacheChoice choice;
  Calls(choice, 10'000, kCall, nanoseconds(900), nanoseconds(600));
  // What it takes has become dearer: at once.
  EXPECT_LE(Calls(choice, 1000, kCall, nanoseconds(900), nanoseconds(2000)), 50);
  // What it does not take has become cheaper: with the next try.
  Calls(choice, 10'000, kCall, nanoseconds(900), nanoseconds(2000));
  EXPECT_GE(Calls(choice, 1000, kCall, nanoseconds(900), nanoseconds(600)),
            990 - static_cast<int>(CacheChoice::kTryEveryMax));
}

TEST(CacheChoiceTest, AnOddCallDoesNotTurnIt) {
  CacheChoice choice;
  Calls(choice, 100, kCall, nanoseconds(900), nanoseconds(600));
  choice.Record(kCall, true, nanoseconds(1200));
  EXPECT_GE(Calls(choice, 10, kCall, nanoseconds(900), nanoseconds(600)), 9);
}

TEST(CacheChoiceTest, EverySizeByItself) {
  CacheChoice choice;
  Calls(choice, 100, 1 << 20, nanoseconds(900), nanoseconds(600));
  Calls(choice, 100, 32 << 20, nanoseconds(600), nanoseconds(900));
  EXPECT_GE(Calls(choice, 100, 1 << 20, nanoseconds(900), nanoseconds(600)), 90);
  EXPECT_LE(Calls(choice, 100, 32 << 20, nanoseconds(600), nanoseconds(900)), 10);
}

TEST(CacheChoiceTest, SmallAndLargeCallsGoPastTheCaches) {
  CacheChoice choice;
  for (const uint64_t bytes :
       {uint64_t{0}, CacheChoice::kBytesMin - 1, CacheChoice::kBytesMax + 1, UINT64_MAX}) {
    EXPECT_EQ(Calls(choice, 100, bytes, nanoseconds(900), nanoseconds(600)), 0) << bytes;
  }
  // The bounds themselves belong to it.
  EXPECT_GT(Calls(choice, 100, CacheChoice::kBytesMin, nanoseconds(900), nanoseconds(600)), 90);
  EXPECT_GT(Calls(choice, 100, CacheChoice::kBytesMax, nanoseconds(900), nanoseconds(600)), 90);
}

}  // namespace
}  // namespace larder
