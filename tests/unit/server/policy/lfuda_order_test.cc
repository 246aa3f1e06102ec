#include "server/policy/lfuda_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace larder::server {
namespace {

class LfudaOrderTest : public testing::Test {
 protected:
  void Touch(BlockRef block, int times) {
    for (int i = 0; i < times; ++i) order_->Touch(block);
  }
  BlockRef Evict() {
    const BlockRef block = order_->Coldest();
    if (block != kNoBlock) order_->Remove(block, block);
    return block;
  }
  // Lets the order age by one: a newcomer comes and goes.
  void Age() {
    order_->Insert(kPasser, kPasser);
    ASSERT_EQ(Evict(), kPasser);
  }

  static constexpr BlockRef kPasser = 99;
  OrderLinks links_{100};
  std::unique_ptr<EvictionOrder> order_ = MakeLfudaOrder(links_);
};

TEST_F(LfudaOrderTest, TheBlockOfFewerUsesGoesFirstHoweverRecent) {
  for (BlockRef block = 0; block < 3; ++block) order_->Insert(block, block);
  Touch(0, 5);
  Touch(1, 2);
  Touch(2, 1);
  EXPECT_EQ(Evict(), 2u);
  EXPECT_EQ(Evict(), 1u);
  EXPECT_EQ(Evict(), 0u);
}

TEST_F(LfudaOrderTest, AFormerFavouriteGoesAfterAsManyAgesAsItHasUses) {
  order_->Insert(0, 0);
  Touch(0, 9);                               // ten uses: key 10
  for (int age = 1; age <= 9; ++age) Age();  // newcomers with keys 1 to 9
  order_->Insert(1, 1);                      // key 10 too, but later
  EXPECT_EQ(Evict(), 0u);
}

TEST_F(LfudaOrderTest, UsesStopCountingAt63) {
  order_->Insert(0, 0);
  Touch(0, 1'000);
  for (int age = 1; age <= 62; ++age) Age();
  order_->Insert(1, 1);
  EXPECT_EQ(Evict(), 0u);
}

TEST_F(LfudaOrderTest, AWaitingBlockKeepsItsUses) {
  order_->Insert(0, 0);
  order_->Insert(1, 1);
  Touch(0, 3);
  Touch(1, 4);
  order_->Remove(0, std::nullopt);
  order_->InsertColdest(0);
  EXPECT_EQ(order_->Coldest(), 0u);
  Touch(0, 2);  // six uses against five
  EXPECT_EQ(Evict(), 1u);
  EXPECT_EQ(Evict(), 0u);
}

TEST_F(LfudaOrderTest, RemovalWithoutPressureDoesNotAge) {
  order_->Insert(0, 0);
  Touch(0, 2);
  for (int i = 0; i < 10; ++i) {
    order_->Insert(kPasser, kPasser);
    order_->Remove(kPasser, std::nullopt);
  }
  order_->Insert(1, 1);
  EXPECT_EQ(Evict(), 1u);
}

// The paper's definition with 64-bit keys, compared at every eviction.
TEST_F(LfudaOrderTest, AgreesWithANaiveModelUnderRandomUse) {
  struct Held {
    uint64_t key;
    uint64_t since;
    uint64_t uses;
  };
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::map<BlockRef, Held> model;
  uint64_t age = 0;
  uint64_t evictions = 0;
  for (uint64_t step = 1; step <= 100'000; ++step) {
    const BlockRef block = random() % 100;
    const auto found = model.find(block);
    if (found == model.end()) {
      order_->Insert(block, block);
      model[block] = {age + 1, step, 1};
    } else if (random() % 8 != 0) {
      order_->Touch(block);
      found->second.uses = std::min<uint64_t>(found->second.uses + 1, 63);
      found->second.key = age + found->second.uses;
      found->second.since = step;
    } else {
      const auto coldest = std::min_element(model.begin(), model.end(), [](auto& a, auto& b) {
        return std::pair(a.second.key, a.second.since) < std::pair(b.second.key, b.second.since);
      });
      age = coldest->second.key;
      ASSERT_EQ(Evict(), coldest->first) << "step " << step;
      model.erase(coldest);
      ++evictions;
    }
  }
  EXPECT_GT(evictions, 5'000u);
}

}  // namespace
}  // namespace larder::server
