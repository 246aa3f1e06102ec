#include "server/policy/priority_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "server/policy/lru_order.h"
#include "server/policy/s3fifo_order.h"
#include "tests/unit/server/policy/naive_priority_lru.h"

namespace larder::server {
namespace {

constexpr size_t kBlocksMax = 256;

class PriorityOrderTest : public testing::Test {
 protected:
  void Insert(BlockRef block, uint8_t priority) { order_.Insert(block, block, priority); }
  BlockRef Evict() {
    const BlockRef block = order_.Coldest();
    if (block != kNoBlock) order_.Remove(block, block);
    return block;
  }

  OrderLinks links_{kBlocksMax};
  PriorityOrder order_{links_, MakeLruOrder};
};

TEST_F(PriorityOrderTest, EmptyHasNothingToGo) { EXPECT_EQ(order_.Coldest(), kNoBlock); }

TEST_F(PriorityOrderTest, LowerBandsGoFirstWhateverTheRecency) {
  Insert(1, 100);
  Insert(2, 0);
  Insert(3, 64);
  Insert(4, 63);
  order_.Touch(2);
  for (const BlockRef expected : {2, 4, 3, 1}) EXPECT_EQ(Evict(), expected);
  EXPECT_EQ(Evict(), kNoBlock);
}

TEST_F(PriorityOrderTest, ABandThatFillsAgainIsFoundAgain) {
  Insert(1, 10);
  Insert(2, 20);
  EXPECT_EQ(Evict(), 1u);
  EXPECT_EQ(order_.Coldest(), 2u);
  Insert(3, 10);
  EXPECT_EQ(Evict(), 3u);
}

TEST_F(PriorityOrderTest, AParkedBlockNeverGoes) {
  Insert(1, 35);
  order_.Park(1);
  EXPECT_TRUE(order_.parked(1));
  EXPECT_EQ(order_.Coldest(), kNoBlock);
  order_.Unpark(1);
  EXPECT_FALSE(order_.parked(1));
  EXPECT_EQ(order_.Coldest(), 1u);
}

TEST_F(PriorityOrderTest, UnparkedUntouchedItIsTheNextToGo) {
  for (BlockRef block = 1; block <= 3; ++block) Insert(block, 35);
  order_.Park(2);
  order_.Unpark(2);
  EXPECT_EQ(order_.Coldest(), 2u);
}

TEST_F(PriorityOrderTest, TouchedWhileParkedItComesBackWarm) {
  for (BlockRef block = 1; block <= 3; ++block) Insert(block, 35);
  order_.Park(1);
  order_.Touch(1);
  EXPECT_TRUE(order_.parked(1));
  EXPECT_EQ(order_.Coldest(), 2u);
  order_.Unpark(1);
  for (const BlockRef expected : {2, 3, 1}) EXPECT_EQ(Evict(), expected);
}

TEST_F(PriorityOrderTest, ATouchWhileParkedCountsOnlyOnce) {
  for (BlockRef block = 1; block <= 2; ++block) Insert(block, 35);
  order_.Park(1);
  order_.Touch(1);
  order_.Unpark(1);
  order_.Park(1);
  order_.Unpark(1);
  EXPECT_EQ(order_.Coldest(), 1u);
}

TEST_F(PriorityOrderTest, UnparkOfABlockThatIsNotParkedDoesNothing) {
  Insert(1, 35);
  Insert(2, 35);
  order_.Unpark(2);
  order_.Unpark(200);  // absent
  EXPECT_EQ(Evict(), 1u);
  EXPECT_EQ(Evict(), 2u);
  EXPECT_EQ(Evict(), kNoBlock);
}

TEST_F(PriorityOrderTest, SetPriorityMovesTheBlockEvenWhileParked) {
  Insert(1, 35);
  Insert(2, 35);
  order_.SetPriority(1, 1, 80);
  EXPECT_EQ(order_.priority(1), 80);
  EXPECT_EQ(order_.Coldest(), 2u);
  order_.Park(1);
  order_.SetPriority(1, 1, 5);
  EXPECT_TRUE(order_.parked(1));
  EXPECT_EQ(order_.Coldest(), 2u);
  order_.Unpark(1);
  EXPECT_EQ(order_.Coldest(), 1u);
}

TEST_F(PriorityOrderTest, SetPriorityToTheSamePriorityKeepsThePlace) {
  Insert(1, 35);
  Insert(2, 35);
  order_.SetPriority(1, 1, 35);
  EXPECT_EQ(order_.Coldest(), 1u);
}

TEST_F(PriorityOrderTest, ARemovedBlockMayComeBack) {
  Insert(1, 35);
  order_.Park(1);
  order_.Remove(1, std::nullopt);
  EXPECT_FALSE(order_.parked(1));
  Insert(1, 7);
  EXPECT_EQ(order_.priority(1), 7);
  EXPECT_EQ(order_.Coldest(), 1u);
}

TEST(PriorityOrderDeathTest, AbortsOnCallsThatDoNotFitTheCondition) {
  OrderLinks links(kBlocksMax);
  PriorityOrder order(links, MakeLruOrder);
  EXPECT_DEATH(order.Touch(1), "bug");
  EXPECT_DEATH(order.Park(1), "bug");
  EXPECT_DEATH(order.Remove(1, std::nullopt), "bug");
  EXPECT_DEATH(order.Insert(1, 1, kPriorityMax + 1), "bug");
  order.Insert(1, 1, 35);
  EXPECT_DEATH(order.Insert(1, 1, 35), "bug");
  order.Park(1);
  EXPECT_DEATH(order.Park(1), "bug");
}

TEST(PriorityOrderPropertyTest, AgreesWithANaiveModelUnderRandomUse) {
  using Condition = NaivePriorityLru::Condition;
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  OrderLinks links(kBlocksMax);
  PriorityOrder order(links, MakeLruOrder);
  NaivePriorityLru model;
  const uint8_t priorities[] = {0, 1, 35, 63, 64, 99, 100};
  for (int step = 0; step < 200'000; ++step) {
    const BlockRef block = random() % kBlocksMax;
    const uint8_t priority = priorities[random() % std::size(priorities)];
    const Condition condition = model.condition(block);
    const uint64_t choice = random() % 8;
    if (condition == Condition::kAbsent) {
      order.Insert(block, block, priority);
      model.Insert(block, priority);
    } else if (choice == 0) {
      order.Remove(block, std::nullopt);
      model.Remove(block);
    } else if (choice == 1) {
      order.SetPriority(block, block, priority);
      model.SetPriority(block, priority);
    } else if (choice <= 3) {
      order.Unpark(block);
      model.Unpark(block);
    } else if (choice <= 5 && condition == Condition::kOrdered) {
      order.Park(block);
      model.Park(block);
    } else {
      order.Touch(block);
      model.Touch(block);
    }
    ASSERT_EQ(order.parked(block), model.condition(block) == Condition::kParked);
    const BlockRef coldest = model.Coldest();
    ASSERT_EQ(order.Coldest(), coldest) << "step " << step;
    if (coldest == kNoBlock || random() % 4 != 0) continue;
    order.Remove(coldest, coldest);
    model.Remove(coldest);
  }
}

TEST(PriorityOrderPropertyTest, NeverLosesABlockOverS3Fifo) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto ghosts = std::make_shared<GhostTable>(64);
  OrderLinks links(kBlocksMax);
  PriorityOrder order(links, [&](OrderLinks& of) { return MakeS3FifoOrder(of, ghosts); });
  std::map<BlockRef, uint8_t> held;
  const auto fingerprint = [](BlockRef block) { return (block + 1) * 0x9e3779b97f4a7c15u; };
  for (int step = 0; step < 100'000; ++step) {
    const BlockRef block = random() % kBlocksMax;
    const uint8_t priority = random() % 3 * 50;
    if (held.count(block) == 0) {
      order.Insert(block, fingerprint(block), priority);
      held[block] = priority;
    } else if (random() % 4 == 0) {
      order.SetPriority(block, fingerprint(block), priority);
      held[block] = priority;
    } else if (random() % 2 == 0) {
      order.parked(block) ? order.Unpark(block) : order.Park(block);
    } else {
      order.Touch(block);
    }
    uint8_t lowest = UINT8_MAX;
    for (const auto& [other, other_priority] : held) {
      if (!order.parked(other)) lowest = std::min(lowest, other_priority);
    }
    const BlockRef coldest = order.Coldest();
    ASSERT_EQ(coldest == kNoBlock, lowest == UINT8_MAX) << "step " << step;
    if (coldest == kNoBlock) continue;
    ASSERT_EQ(held.count(coldest), 1u) << "step " << step;
    ASSERT_EQ(held[coldest], lowest) << "step " << step;
    if (held.size() < kBlocksMax / 2) continue;
    order.Remove(coldest, fingerprint(coldest));
    held.erase(coldest);
  }
}

}  // namespace
}  // namespace larder::server
