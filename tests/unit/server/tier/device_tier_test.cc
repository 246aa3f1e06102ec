#include "server/tier/device_tier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/fakes/fake_device_arena.h"

namespace larder::server {
namespace {

using Bytes = std::vector<std::byte>;

Bytes Pattern(size_t size, uint64_t number) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(number * 37 + i * 11);
  return bytes;
}

class DeviceTierTest : public testing::Test {
 protected:
  static constexpr uint64_t kGranules = 64;

  CopyEnd Fill(SlabRef slab, Bytes& source) { return Wait(true, slab, source); }
  CopyEnd Read(SlabRef slab, Bytes& target) { return Wait(false, slab, target); }
  void TearDown() override {
    arena.Release();
    while (tier.copies() > 0) std::this_thread::yield();
  }

  FakeDeviceArena arena{kGranules * kGranuleBytes};
  DeviceTier tier{arena};

 private:
  CopyEnd Wait(bool fill, SlabRef slab, Bytes& bytes) {
    auto ended = std::make_shared<std::promise<CopyEnd>>();
    auto end = ended->get_future();
    const auto done = [ended](CopyEnd how) { ended->set_value(how); };
    EXPECT_TRUE(fill ? tier.Fill(slab, {bytes}, done) : tier.Read(slab, {bytes}, done));
    return end.get();
  }
};

TEST_F(DeviceTierTest, ReadsBackWhatWasFilled) {
  Bytes first = Pattern(1'000, 1), second = Pattern(700, 2);
  const SlabRef a = *tier.Reserve(first.size());
  const SlabRef b = *tier.Reserve(second.size());
  ASSERT_EQ(Fill(a, first), CopyEnd::kDone);
  ASSERT_EQ(Fill(b, second), CopyEnd::kDone);
  Bytes read(first.size());
  ASSERT_EQ(Read(a, read), CopyEnd::kDone);
  EXPECT_EQ(read, first);
  Bytes beginning(10);
  ASSERT_EQ(Read(b, beginning), CopyEnd::kDone);
  EXPECT_EQ(beginning, Bytes(second.begin(), second.begin() + 10));
  EXPECT_EQ(tier.usage().used_bytes, 4 * kGranuleBytes);
  tier.Free(a);
  tier.Free(b);
  EXPECT_EQ(tier.usage().used_bytes, 0u);
}

TEST_F(DeviceTierTest, RefusesMoreThanItsBudget) {
  EXPECT_FALSE(tier.Reserve(kGranules * kGranuleBytes + 1).has_value());
  EXPECT_FALSE(tier.Reserve(UINT64_MAX).has_value());
  const auto all = tier.Reserve(kGranules * kGranuleBytes);
  ASSERT_TRUE(all.has_value());
  EXPECT_FALSE(tier.Reserve(1).has_value());
  tier.Free(*all);
  EXPECT_TRUE(tier.Reserve(1).has_value());
}

TEST_F(DeviceTierTest, AFreedSlabIsNotGivenAwayBeforeItsCopiesHaveEnded) {
  Bytes bytes = Pattern(kGranules * kGranuleBytes, 3);
  const SlabRef slab = *tier.Reserve(bytes.size());
  arena.Hold();
  std::atomic<int> ended = 0;
  ASSERT_TRUE(tier.Fill(slab, {bytes}, [&](CopyEnd) { ++ended; }));
  tier.Free(slab);
  EXPECT_FALSE(tier.Reserve(1).has_value());
  EXPECT_EQ(tier.copies(), 1u);
  arena.Release();
  while (tier.copies() > 0) std::this_thread::yield();
  EXPECT_EQ(ended.load(), 1);
  EXPECT_TRUE(tier.Reserve(1).has_value());
}

TEST_F(DeviceTierTest, AFailedCopyIsSaidToHaveFailedAndTheTierGoesOn) {
  Bytes bytes = Pattern(2'000, 4);
  const SlabRef slab = *tier.Reserve(bytes.size());
  arena.FailNext(1);
  EXPECT_EQ(Fill(slab, bytes), CopyEnd::kFailed);
  ASSERT_EQ(Fill(slab, bytes), CopyEnd::kDone);
  Bytes read(bytes.size());
  arena.FailNext(1);
  EXPECT_EQ(Read(slab, read), CopyEnd::kFailed);
  EXPECT_NE(read, bytes);
  ASSERT_EQ(Read(slab, read), CopyEnd::kDone);
  EXPECT_EQ(read, bytes);
}

TEST_F(DeviceTierTest, ALostDeviceReservesNothingAndFailsEveryCopy) {
  Bytes bytes = Pattern(2'000, 5);
  const SlabRef slab = *tier.Reserve(bytes.size());
  ASSERT_EQ(Fill(slab, bytes), CopyEnd::kDone);
  arena.Lose();
  EXPECT_TRUE(tier.lost());
  Bytes read(bytes.size());
  EXPECT_EQ(Read(slab, read), CopyEnd::kFailed);
  EXPECT_EQ(Fill(slab, bytes), CopyEnd::kFailed);
  EXPECT_FALSE(tier.Reserve(1).has_value());
  tier.Free(slab);
  EXPECT_EQ(tier.usage().used_bytes, 0u);
}

TEST_F(DeviceTierTest, RefusesCopiesBeyondTheQueueAndForgetsThem) {
  FakeDeviceArena small(kGranules * kGranuleBytes, /*copies_max=*/2);
  DeviceTier over(small);
  Bytes bytes = Pattern(100, 6);
  const SlabRef slab = *over.Reserve(bytes.size());
  small.Hold();
  std::atomic<int> ended = 0;
  int begun = 0;
  for (int i = 0; i < 10; ++i) begun += over.Fill(slab, {bytes}, [&](CopyEnd) { ++ended; });
  EXPECT_GE(begun, 2);
  EXPECT_LE(begun, 3);  // one may have left the queue to run
  EXPECT_EQ(over.copies(), static_cast<uint64_t>(begun));
  small.Release();
  while (over.copies() > 0) std::this_thread::yield();
  EXPECT_EQ(ended.load(), begun);
}

TEST_F(DeviceTierTest, ACallbackMayFreeItsSlabAndBeginAnotherCopy) {
  Bytes bytes = Pattern(900, 7), read(900);
  const SlabRef slab = *tier.Reserve(bytes.size());
  std::promise<CopyEnd> ended;
  ASSERT_TRUE(tier.Fill(slab, {bytes}, [&](CopyEnd) {
    EXPECT_TRUE(tier.Read(slab, {read}, [&](CopyEnd end) {
      tier.Free(slab);
      ended.set_value(end);
    }));
  }));
  EXPECT_EQ(ended.get_future().get(), CopyEnd::kDone);
  EXPECT_EQ(read, bytes);
  while (tier.copies() > 0) std::this_thread::yield();
  EXPECT_EQ(tier.usage().used_bytes, 0u);
}

// Blocks come, are read and go, copies fail, and in the end the device is lost: never other bytes.
TEST_F(DeviceTierTest, NeverGivesOtherBytesUnderFaults) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  struct Held {
    uint64_t number;
    size_t size;
  };
  std::map<SlabRef, Held> held;
  int right = 0, failed = 0;
  for (uint64_t step = 0; step < 4'000; ++step) {
    if (step == 3'800) arena.Lose();
    if (random() % 10 == 0) arena.FailNext(1);
    if (held.empty() || random() % 3 == 0) {
      const size_t size = 1 + random() % (4 * kGranuleBytes);
      const auto slab = tier.Reserve(size);
      if (!slab.has_value()) {
        if (held.empty()) continue;
        tier.Free(held.begin()->first);
        held.erase(held.begin());
        continue;
      }
      Bytes bytes = Pattern(size, step);
      if (Fill(*slab, bytes) == CopyEnd::kDone) {
        held[*slab] = {step, size};
      } else {
        tier.Free(*slab);
      }
      continue;
    }
    const auto& [slab, block] = *std::next(held.begin(), random() % held.size());
    Bytes read(block.size);
    if (Read(slab, read) == CopyEnd::kFailed) {
      ++failed;
      continue;
    }
    ASSERT_EQ(read, Pattern(block.size, block.number)) << "step " << step;
    ++right;
  }
  EXPECT_GT(right, 1'000);
  EXPECT_GT(failed, 50);
}

}  // namespace
}  // namespace larder::server
