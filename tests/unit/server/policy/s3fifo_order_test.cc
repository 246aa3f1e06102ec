#include "server/policy/s3fifo_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace larder::server {
namespace {

uint64_t FingerprintOf(BlockRef block) { return (block + 1) * 0x9e3779b97f4a7c15u; }

class S3FifoOrderTest : public testing::Test {
 protected:
  void Insert(BlockRef block) { order_->Insert(block, FingerprintOf(block)); }
  BlockRef Evict() {
    const BlockRef block = order_->Coldest();
    if (block != kNoBlock) order_->Remove(block, FingerprintOf(block));
    return block;
  }

  OrderLinks links_{64};
  std::shared_ptr<GhostTable> ghosts_ = std::make_shared<GhostTable>(1'000);
  std::unique_ptr<EvictionOrder> order_ = MakeS3FifoOrder(links_, ghosts_);
};

TEST_F(S3FifoOrderTest, AUsedNewcomerMovesToMainInsteadOfGoing) {
  for (BlockRef block = 0; block < 4; ++block) Insert(block);
  order_->Touch(0);
  EXPECT_EQ(Evict(), 1u);  // 0 has moved: main {0}, small {2, 3}
  EXPECT_EQ(Evict(), 2u);
  EXPECT_EQ(Evict(), 3u);
  EXPECT_EQ(Evict(), 0u);
}

TEST_F(S3FifoOrderTest, TheMoveToMainClearsTheUses) {
  for (BlockRef block = 0; block < 4; ++block) {
    Insert(block);
    if (block < 3) order_->Touch(block);
  }
  EXPECT_EQ(Evict(), 0u);  // 0, 1 and 2 have moved: main {0, 1, 2}, small {3}
  EXPECT_EQ(Evict(), 1u);
  EXPECT_EQ(Evict(), 3u);
  EXPECT_EQ(Evict(), 2u);
}

TEST_F(S3FifoOrderTest, ABlockThatComesBackSoonEntersMain) {
  Insert(0);
  EXPECT_EQ(Evict(), 0u);
  Insert(0);
  Insert(1);
  Insert(2);
  EXPECT_EQ(Evict(), 1u);  // 0 came first but is in main
}

TEST_F(S3FifoOrderTest, ABlockRemovedWithoutPressureIsNoGhost) {
  Insert(0);
  order_->Remove(0, std::nullopt);
  EXPECT_FALSE(ghosts_->Take(FingerprintOf(0)));
}

TEST_F(S3FifoOrderTest, ABlockEvictedFromMainIsNoGhost) {
  ghosts_->Remember(FingerprintOf(0));
  Insert(0);
  EXPECT_EQ(Evict(), 0u);
  EXPECT_FALSE(ghosts_->Take(FingerprintOf(0)));
}

TEST_F(S3FifoOrderTest, ABlockOfMainStaysOneRoundPerUseAndThreeAtMost) {
  ghosts_->Remember(FingerprintOf(0));
  ghosts_->Remember(FingerprintOf(1));
  Insert(0);
  for (int touches = 0; touches < 100; ++touches) order_->Touch(0);
  for (int round = 0; round < 3; ++round) {
    ghosts_->Remember(FingerprintOf(1));
    Insert(1);
    EXPECT_EQ(Evict(), 1u) << "round " << round;
  }
  ghosts_->Remember(FingerprintOf(1));
  Insert(1);
  EXPECT_EQ(Evict(), 0u);
}

// The same policy written with plain deques and linear searches.
class NaiveS3Fifo {
 public:
  explicit NaiveS3Fifo(size_t ghosts_max) : ghosts_(ghosts_max), uses_(64, 0) {}

  bool Holds(BlockRef block) const { return In(small_, block) || In(main_, block); }
  void Insert(BlockRef block) {
    uses_[block] = 0;
    (ghosts_.Take(FingerprintOf(block)) ? main_ : small_).push_back(block);
  }
  void InsertColdest(BlockRef block) {
    uses_[block] = 0;
    (small_.size() + 1 >= main_.size() ? small_ : main_).push_front(block);
  }
  void Touch(BlockRef block) { uses_[block] = std::min(uses_[block] + 1, 3); }
  void Remove(BlockRef block, bool evicted) {
    if (evicted && In(small_, block)) ghosts_.Remember(FingerprintOf(block));
    std::erase(small_, block);
    std::erase(main_, block);
  }
  BlockRef Coldest() {
    while (!small_.empty() || !main_.empty()) {
      if (2 * small_.size() >= small_.size() + main_.size()) {
        const BlockRef block = small_.front();
        if (uses_[block] == 0) return block;
        small_.pop_front();
        uses_[block] = 0;
        main_.push_back(block);
      } else {
        const BlockRef block = main_.front();
        if (uses_[block] == 0) return block;
        main_.pop_front();
        --uses_[block];
        main_.push_back(block);
      }
    }
    return kNoBlock;
  }

 private:
  static bool In(const std::deque<BlockRef>& queue, BlockRef block) {
    return std::find(queue.begin(), queue.end(), block) != queue.end();
  }
  GhostTable ghosts_;
  std::vector<int> uses_;
  std::deque<BlockRef> small_, main_;  // oldest first
};

TEST(S3FifoOrderPropertyTest, AgreesWithANaiveModelUnderRandomUse) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  OrderLinks links(64);
  const auto order = MakeS3FifoOrder(links, std::make_shared<GhostTable>(16));
  NaiveS3Fifo model(16);
  for (int step = 0; step < 200'000; ++step) {
    const BlockRef block = random() % 64;
    const bool evicted = random() % 2 == 0;
    if (!model.Holds(block)) {
      if (random() % 4 == 0) {
        order->InsertColdest(block);
        model.InsertColdest(block);
      } else {
        order->Insert(block, FingerprintOf(block));
        model.Insert(block);
      }
    } else if (random() % 3 == 0) {
      order->Remove(block, evicted ? std::make_optional(FingerprintOf(block)) : std::nullopt);
      model.Remove(block, evicted);
    } else {
      order->Touch(block);
      model.Touch(block);
    }
    if (random() % 3 != 0) continue;  // Coldest() moves blocks: not after every step
    const BlockRef coldest = model.Coldest();
    ASSERT_EQ(order->Coldest(), coldest) << "step " << step;
    if (coldest == kNoBlock || random() % 2 == 0) continue;
    order->Remove(coldest, FingerprintOf(coldest));
    model.Remove(coldest, true);
  }
}

}  // namespace
}  // namespace larder::server
