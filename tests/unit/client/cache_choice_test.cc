#include "client/cache_choice.h"

#include <gtest/gtest.h>

namespace larder {
namespace {

using std::chrono::nanoseconds;

constexpr uint64_t kCall = 8 << 20;
constexpr int kTryMin = CacheChoice::kTryEveryMin;
constexpr int kTryMax = CacheChoice::kTryEveryMax;

// So many calls, which cost what they would; how many of them went into the caches.
int Calls(CacheChoice& choice, int calls, uint64_t bytes, nanoseconds past, nanoseconds into) {
  int to_caches = 0;
  for (int i = 0; i < calls; ++i) {
    const bool how = choice.ToCaches(bytes);
    choice.Record(bytes, how, bytes, how ? into : past);
    to_caches += how ? 1 : 0;
  }
  return to_caches;
}

TEST(CacheChoiceTest, TakesWhatCostsLess) {
  CacheChoice into, past;
  EXPECT_GE(Calls(into, 1000, kCall, nanoseconds(900), nanoseconds(600)), 970);
  EXPECT_LE(Calls(past, 1000, kCall, nanoseconds(600), nanoseconds(900)), 30);
}

TEST(CacheChoiceTest, KnowsBothAfterTwoCalls) {
  CacheChoice choice;
  EXPECT_EQ(Calls(choice, 2, kCall, nanoseconds(900), nanoseconds(600)), 1);
  EXPECT_EQ(Calls(choice, 10, kCall, nanoseconds(900), nanoseconds(600)), 10);
}

TEST(CacheChoiceTest, TriesTheOtherLessAndLessOften) {
  CacheChoice choice;
  Calls(choice, 1000, kCall, nanoseconds(600), nanoseconds(2400));
  const int tries = Calls(choice, 10'000, kCall, nanoseconds(600), nanoseconds(2400));
  EXPECT_GE(tries, 10'000 / kTryMax - 1);
  EXPECT_LE(tries, 10'000 / kTryMax + 1);
}

TEST(CacheChoiceTest, ChangesWithTheMachine) {
  CacheChoice choice;
  Calls(choice, 10'000, kCall, nanoseconds(900), nanoseconds(600));
  // What it takes has become dearer: at once.
  EXPECT_LE(Calls(choice, 1000, kCall, nanoseconds(900), nanoseconds(2000)), 50);
  // What it does not take has become cheaper: with the next try.
  Calls(choice, 10'000, kCall, nanoseconds(900), nanoseconds(2000));
  EXPECT_GE(Calls(choice, 1000, kCall, nanoseconds(900), nanoseconds(600)), 990 - kTryMax);
}

// What has lost again and again is tried seldom; what has just lost is not.
TEST(CacheChoiceTest, AfterAChangeItTriesSoon) {
  CacheChoice choice;
  Calls(choice, 10'000, kCall, nanoseconds(900), nanoseconds(600));
  int calls = 0;
  while (Calls(choice, 1, kCall, nanoseconds(400), nanoseconds(600)) == 1) {
    ASSERT_LE(++calls, kTryMax);
  }
  Calls(choice, 4, kCall, nanoseconds(400), nanoseconds(600));
  EXPECT_GE(Calls(choice, kTryMin, kCall, nanoseconds(400), nanoseconds(600)), 1);
}

TEST(CacheChoiceTest, AnOddCallDoesNotTurnIt) {
  CacheChoice choice;
  Calls(choice, 100, kCall, nanoseconds(900), nanoseconds(600));
  choice.Record(kCall, true, kCall, nanoseconds(100'000));
  EXPECT_GE(Calls(choice, 10, kCall, nanoseconds(900), nanoseconds(600)), 9);
}

// Several threads: what comes of calls that began before either way was known is no lost try.
TEST(CacheChoiceTest, ManyFirstCallsAreNoTries) {
  CacheChoice choice;
  for (int i = 0; i < 8; ++i) choice.Record(kCall, false, kCall, nanoseconds(600));
  choice.Record(kCall, true, kCall, nanoseconds(5000));
  EXPECT_GE(Calls(choice, kTryMin, kCall, nanoseconds(600), nanoseconds(500)), 1);
}

// A way of which nothing is told is tried, not taken.
TEST(CacheChoiceTest, CallsThatAreNotToldOfGoPastTheCaches) {
  CacheChoice none, one;
  one.Record(kCall, false, kCall, nanoseconds(600));
  for (CacheChoice* choice : {&none, &one}) {
    int to_caches = 0;
    for (int i = 0; i < 1600; ++i) to_caches += choice->ToCaches(kCall) ? 1 : 0;
    EXPECT_LE(to_caches, 1600 / kTryMin + 1);
  }
}

TEST(CacheChoiceTest, CountsTheBytesThatCame) {
  CacheChoice choice;
  choice.Record(kCall, false, kCall, nanoseconds(600));
  choice.Record(kCall, true, kCall / 4, nanoseconds(300));  // twice as dear
  EXPECT_LE(Calls(choice, kTryMin - 3, kCall, nanoseconds(600), nanoseconds(1200)), 1);
  choice.Record(kCall, true, 0, nanoseconds(1));  // no bytes, no cost
  EXPECT_LE(Calls(choice, kTryMin, kCall, nanoseconds(600), nanoseconds(1200)), 1);
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
       {uint64_t{0}, CacheChoice::kBytesMin - 1, CacheChoice::kBytesMax, UINT64_MAX}) {
    EXPECT_EQ(Calls(choice, 100, bytes, nanoseconds(900), nanoseconds(600)), 0) << bytes;
  }
  for (const uint64_t bytes : {CacheChoice::kBytesMin, CacheChoice::kBytesMax - 1}) {
    EXPECT_GT(Calls(choice, 100, bytes, nanoseconds(900), nanoseconds(600)), 90) << bytes;
  }
}

}  // namespace
}  // namespace larder
