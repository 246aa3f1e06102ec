// What every EvictionOrder must do, run over every EvictionOrder.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "server/policy/lfuda_order.h"
#include "server/policy/lru_order.h"
#include "server/policy/priority_order.h"
#include "server/policy/s3fifo_order.h"

namespace larder::server {
namespace {

constexpr size_t kBlocksMax = 512;

struct PolicyCase {
  std::string name;
  EvictionOrderFactory make;
};

uint64_t FingerprintOf(BlockRef block) { return (block + 1) * 0x9e3779b97f4a7c15u; }

class PolicyConformance : public testing::TestWithParam<PolicyCase> {
 protected:
  std::unique_ptr<EvictionOrder> Make() { return GetParam().make(links_); }

  void Insert(BlockRef block) { order_->Insert(block, FingerprintOf(block)); }
  // Takes everything out by eviction, in order.
  std::vector<BlockRef> Drain(EvictionOrder& order) {
    std::vector<BlockRef> drained;
    for (BlockRef block; (block = order.Coldest()) != kNoBlock;) {
      order.Remove(block, FingerprintOf(block));
      drained.push_back(block);
    }
    return drained;
  }

  OrderLinks links_{kBlocksMax};
  std::unique_ptr<EvictionOrder> order_ = Make();
};

TEST_P(PolicyConformance, EmptyHasNothingToGo) { EXPECT_EQ(order_->Coldest(), kNoBlock); }

TEST_P(PolicyConformance, BlocksNeverTouchedGoInTheOrderTheyCame) {
  std::vector<BlockRef> inserted;
  for (const BlockRef block : {7, 3, 9, 0, 511}) {
    Insert(block);
    inserted.push_back(block);
  }
  EXPECT_EQ(Drain(*order_), inserted);
  EXPECT_EQ(order_->Coldest(), kNoBlock);
}

TEST_P(PolicyConformance, TheColdestStaysUntilItIsRemoved) {
  for (BlockRef block = 0; block < 10; ++block) Insert(block);
  for (BlockRef block = 0; block < 10; block += 2) order_->Touch(block);
  const BlockRef coldest = order_->Coldest();
  EXPECT_EQ(order_->Coldest(), coldest);
  order_->Remove(coldest, std::nullopt);
  EXPECT_NE(order_->Coldest(), coldest);
}

TEST_P(PolicyConformance, ATouchedBlockOutlivesItsUntouchedPeer) {
  Insert(1);
  Insert(2);
  order_->Touch(1);
  EXPECT_EQ(Drain(*order_), (std::vector<BlockRef>{2, 1}));
}

TEST_P(PolicyConformance, EveryBlockGoesInTheEndHoweverOftenItWasTouched) {
  for (BlockRef block = 0; block < 100; ++block) {
    Insert(block);
    for (BlockRef touch = 0; touch < block; ++touch) order_->Touch(block);
  }
  const std::vector<BlockRef> drained = Drain(*order_);
  EXPECT_EQ(std::set<BlockRef>(drained.begin(), drained.end()).size(), 100u);
  EXPECT_EQ(drained.size(), 100u);
}

TEST_P(PolicyConformance, OrdersSharingTheLinksDoNotDisturbEachOther) {
  const std::unique_ptr<EvictionOrder> other = Make();
  for (BlockRef block = 0; block < 100; ++block) {
    (block % 2 == 0 ? *order_ : *other).Insert(block, FingerprintOf(block));
  }
  for (const BlockRef block : Drain(*order_)) EXPECT_EQ(block % 2, 0u);
  EXPECT_EQ(Drain(*other).size(), 50u);
}

TEST_P(PolicyConformance, HoldsExactlyWhatWasInsertedUnderRandomUse) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::set<BlockRef> held;
  uint64_t returned_coldest = 0;
  for (int step = 0; step < 100'000; ++step) {
    const BlockRef block = random() % kBlocksMax;
    if (held.count(block) == 0) {
      if (held.empty() || random() % 4 != 0) {
        Insert(block);
      } else {
        order_->InsertColdest(block);
        ASSERT_EQ(order_->Coldest(), block) << "step " << step;
        ++returned_coldest;
      }
      held.insert(block);
    } else if (random() % 3 == 0) {
      const std::optional<uint64_t> fingerprint =
          random() % 2 == 0 ? std::make_optional(FingerprintOf(block)) : std::nullopt;
      order_->Remove(block, fingerprint);
      held.erase(block);
    } else {
      order_->Touch(block);
    }
    const BlockRef coldest = order_->Coldest();
    ASSERT_EQ(coldest == kNoBlock, held.empty()) << "step " << step;
    if (held.empty()) continue;
    ASSERT_EQ(held.count(coldest), 1u) << "step " << step;
    if (held.size() > 300 || random() % 4 == 0) {
      order_->Remove(coldest, FingerprintOf(coldest));
      held.erase(coldest);
    }
  }
  EXPECT_GT(returned_coldest, 1'000u);
  const std::vector<BlockRef> drained = Drain(*order_);
  EXPECT_EQ(std::set<BlockRef>(drained.begin(), drained.end()), held);
  EXPECT_EQ(drained.size(), held.size());
}

INSTANTIATE_TEST_SUITE_P(Policies, PolicyConformance,
                         testing::Values(PolicyCase{"Lru", MakeLruOrder},
                                         PolicyCase{"Lfuda", MakeLfudaOrder},
                                         PolicyCase{"S3Fifo",
                                                    [](OrderLinks& links) {
                                                      return MakeS3FifoOrder(
                                                          links, std::make_shared<GhostTable>(64));
                                                    }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace larder::server
