#include "server/store/block_index.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "server/policy/lru_order.h"
#include "server/policy/s3fifo_order.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

constexpr SpaceId kSpace = 77;

EvictionOrderFactory Lru() {
  return [](OrderLinks& links) { return MakeLruOrder(links); };
}

class BlockIndexTest : public ::testing::Test {
 protected:
  BlockRef Add(uint64_t number, BlockRef parent = kNoBlock, RetentionTicks retention = {}) {
    return index.Insert(kSpace, 0, HashOf(number), parent, {next_slab++, 100, 0, Fidelity::kExact},
                        retention);
  }
  std::vector<BlockRef> AddChain(uint64_t first, uint64_t count) {
    std::vector<BlockRef> chain;
    for (uint64_t i = 0; i < count; ++i)
      chain.push_back(Add(first + i, i == 0 ? kNoBlock : chain.back()));
    return chain;
  }
  size_t MatchLength(uint64_t first, uint64_t count, MissReason* reason = nullptr) {
    std::vector<PrefixHash> hashes;
    for (uint64_t i = 0; i < count; ++i) hashes.push_back(HashOf(first + i));
    std::vector<BlockRef> blocks(count);
    const auto result = index.Match(kSpace, hashes, Fidelity::kUnspecified, blocks);
    if (reason != nullptr) *reason = result.miss_reason;
    return result.length;
  }
  MissReason ReasonOf(uint64_t number) {
    MissReason reason;
    index.Find(kSpace, HashOf(number), Fidelity::kUnspecified, &reason);
    return reason;
  }

  std::vector<Removed> removed;
  SlabRef next_slab = 0;
  BlockIndex index{100'000, Lru(), Fingerprinter({}),
                   [this](const Removed& r) { removed.push_back(r); }};
};

TEST_F(BlockIndexTest, MatchesTheLongestContiguousPrefix) {
  AddChain(1, 100);
  EXPECT_EQ(MatchLength(1, 100), 100u);
  MissReason reason = MissReason::kNone;
  EXPECT_EQ(MatchLength(1, 150, &reason), 100u);
  EXPECT_EQ(reason, MissReason::kNeverSeen);
  EXPECT_EQ(MatchLength(50, 10), 10u);
  EXPECT_EQ(MatchLength(200, 5), 0u);
}

TEST_F(BlockIndexTest, OtherSpacesNeverMatch) {
  Add(1);
  std::vector<BlockRef> blocks(1);
  EXPECT_EQ(index.Match(kSpace + 1, std::vector{HashOf(1)}, Fidelity::kUnspecified, blocks).length,
            0u);
}

TEST_F(BlockIndexTest, EvictsTheTailOfAChainFirst) {
  const auto chain = AddChain(1, 5);
  index.TouchAncestors(chain.back(), 100);
  for (uint64_t left = 5; left > 0; --left) {
    ASSERT_TRUE(index.EvictColdest());
    EXPECT_EQ(removed.back().block, chain[left - 1]);
    EXPECT_EQ(MatchLength(1, 5), left - 1);
  }
  EXPECT_FALSE(index.EvictColdest());
}

TEST_F(BlockIndexTest, StrictPriorityHoldsAcrossChains) {
  const BlockRef low = Add(1, kNoBlock, {10, 0, 0});
  const BlockRef high = Add(2, kNoBlock, {90, 0, 0});
  index.TouchChain(std::vector{low});  // most recent, and still the first to go
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_EQ(removed.back().block, low);
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_EQ(removed.back().block, high);
}

TEST_F(BlockIndexTest, AHighPriorityTailProtectsItsAncestors) {
  const BlockRef head = Add(1, kNoBlock, {0, 0, 0});
  Add(2, head, {100, 0, 0});
  const BlockRef other = Add(3, kNoBlock, {50, 0, 0});
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_EQ(removed.back().block, other);
  EXPECT_EQ(MatchLength(1, 2), 2u);
}

// Structure, not copied priorities: an ancestor may leave memory by its own priority, and then stays
// on SSD, and in the prefix, for as long as it has a descendant anywhere.
TEST_F(BlockIndexTest, AHighPriorityTailKeepsItsAncestorsReadableInEveryTier) {
  BlockIndex tiers(100, Lru(), Fingerprinter({}), [](const Removed&) {}, {.with_ssd = true});
  const auto add = [&](uint64_t number, BlockRef parent, uint8_t priority) {
    return tiers.Insert(kSpace, 0, HashOf(number), parent,
                        {static_cast<SlabRef>(number), 100, 0, Fidelity::kExact}, {priority, 0, 0});
  };
  const BlockRef head = add(1, kNoBlock, 0);
  const BlockRef middle = add(2, head, 0);
  const BlockRef tail = add(3, middle, 100);
  const BlockRef other = add(4, kNoBlock, 50);
  const auto readable = [&] {
    std::vector<BlockRef> blocks(3);
    const std::vector<PrefixHash> chain = {HashOf(1), HashOf(2), HashOf(3)};
    return tiers.Match(kSpace, chain, Fidelity::kUnspecified, blocks).length;
  };
  tiers.AddSsd(head, {});
  ASSERT_TRUE(tiers.EvictColdest());
  EXPECT_FALSE(tiers.in_memory(head));
  EXPECT_FALSE(tiers.EvictColdestSsd({.priority = kPriorityDefault}));  // it has descendants in memory
  ASSERT_TRUE(tiers.EvictColdest());      // not the middle: it is nowhere else
  EXPECT_FALSE(tiers.present(other));
  EXPECT_TRUE(tiers.in_memory(middle));
  EXPECT_EQ(readable(), 3u);
  ASSERT_TRUE(tiers.EvictColdest());
  EXPECT_FALSE(tiers.present(tail));
  ASSERT_TRUE(tiers.EvictColdest());
  EXPECT_FALSE(tiers.present(middle));
  EXPECT_TRUE(tiers.EvictColdestSsd({.priority = kPriorityDefault}));
  EXPECT_EQ(tiers.size(), 0u);
}

TEST_F(BlockIndexTest, PinnedBlocksStayAndGoOnceLetGo) {
  const BlockRef block = Add(1);
  index.Pin(block);
  index.Pin(block);
  EXPECT_FALSE(index.EvictColdest());
  index.Unpin(block);
  EXPECT_FALSE(index.EvictColdest());
  EXPECT_EQ(index.pinned_blocks(), 1u);
  index.Unpin(block);
  EXPECT_EQ(index.pinned_blocks(), 0u);
  EXPECT_TRUE(index.EvictColdest());
  EXPECT_EQ(ReasonOf(1), MissReason::kEvicted);
}

TEST_F(BlockIndexTest, DoomedBlockIsAMissAtOnceAndGoesWhenItsTailIsGone) {
  const auto chain = AddChain(1, 3);
  index.Doom(chain[0], MissReason::kQuarantined);
  EXPECT_EQ(ReasonOf(1), MissReason::kQuarantined);
  EXPECT_TRUE(removed.empty());
  EXPECT_TRUE(index.EvictColdest());  // 3
  EXPECT_TRUE(index.EvictColdest());  // 2, and with it 1
  EXPECT_EQ(removed.size(), 3u);
  EXPECT_EQ(removed.back().reason, MissReason::kQuarantined);
  EXPECT_EQ(index.size(), 0u);
}

TEST_F(BlockIndexTest, APutRevivesADoomedBlockInPlace) {
  const auto chain = AddChain(1, 2);
  index.Doom(chain[0], MissReason::kExpired);
  EXPECT_EQ(MatchLength(1, 2), 0u);
  index.Pin(chain[0]);
  EXPECT_EQ(Add(1), kNoBlock);  // its old frame is still being read
  index.Unpin(chain[0]);
  EXPECT_EQ(Add(1), chain[0]);
  EXPECT_EQ(MatchLength(1, 2), 2u);
  EXPECT_EQ(removed.size(), 1u);  // the old frame only
}

TEST_F(BlockIndexTest, ExpiresAndReturnsToTheDefaultPriorityOnTime) {
  const BlockRef expiring = Add(1, kNoBlock, {35, 0, 50});
  const BlockRef lapsing = Add(2, kNoBlock, {90, 40, 0});
  EXPECT_EQ(index.Advance(39, 10), 0u);
  EXPECT_EQ(index.priority_of(lapsing), 90);
  EXPECT_EQ(index.Advance(40, 10), 1u);
  EXPECT_EQ(index.priority_of(lapsing), kPriorityDefault);
  EXPECT_TRUE(index.live(expiring));
  EXPECT_EQ(index.Advance(50, 10), 1u);
  EXPECT_EQ(ReasonOf(1), MissReason::kExpired);
  EXPECT_EQ(index.Advance(1000, 10), 0u);
}

TEST_F(BlockIndexTest, AnExpiredBlockIsAMissButItsHoldersMayStillReadIt) {
  const BlockRef block = Add(1, kNoBlock, {35, 0, 50});
  index.Pin(block);
  index.Advance(60, 10);
  EXPECT_EQ(ReasonOf(1), MissReason::kExpired);
  MissReason reason;
  EXPECT_EQ(index.FindHeld(kSpace, HashOf(1), Fidelity::kUnspecified, &reason), block);
  index.Unpin(block);
  EXPECT_EQ(index.FindHeld(kSpace, HashOf(1), Fidelity::kUnspecified, &reason), kNoBlock);
  EXPECT_EQ(reason, MissReason::kExpired);
  EXPECT_EQ(index.size(), 0u);
}

TEST_F(BlockIndexTest, FidelityBelowTheDemandIsAMissWithThatReason) {
  index.Insert(kSpace, 0, HashOf(1), kNoBlock, {0, 100, 0, Fidelity::kNear}, {});
  MissReason reason;
  EXPECT_EQ(index.Find(kSpace, HashOf(1), Fidelity::kExact, &reason), kNoBlock);
  EXPECT_EQ(reason, MissReason::kFidelity);
  EXPECT_NE(index.Find(kSpace, HashOf(1), Fidelity::kNear, &reason), kNoBlock);
}

TEST_F(BlockIndexTest, RefusesMoreBlocksThanItsBound) {
  BlockIndex small(2, Lru(), Fingerprinter({}), [](const Removed&) {});
  EXPECT_NE(small.Insert(kSpace, 0, HashOf(1), kNoBlock, {}, {}), kNoBlock);
  EXPECT_NE(small.Insert(kSpace, 0, HashOf(2), kNoBlock, {}, {}), kNoBlock);
  EXPECT_EQ(small.Insert(kSpace, 0, HashOf(3), kNoBlock, {}, {}), kNoBlock);
}

// A slow, obvious store of the same blocks.
struct ModelBlock {
  uint64_t parent = 0;
  int children = 0;
  int pins = 0;
  uint8_t priority = kPriorityDefault;
  bool doomed = false;
  BlockRef ref = kNoBlock;
};

class BlockIndexPropertyTest : public ::testing::TestWithParam<int> {
 protected:
  static constexpr size_t kBlocksMax = 500;
  static constexpr uint64_t kNumbers = 2000;

  static bool MayGo(const ModelBlock& block) { return block.pins == 0 && block.children == 0; }
  uint64_t Random(uint64_t below) { return random_() % below; }
  std::pair<const uint64_t, ModelBlock>& Any() {
    return *std::next(model_.begin(), Random(model_.size()));
  }

  void Insert() {
    const uint64_t number = 1 + Random(kNumbers);
    uint64_t parent = 0;
    if (!model_.empty() && Random(4) != 0) {
      const auto& candidate = Any();
      if (!candidate.second.doomed && candidate.first < number) parent = candidate.first;
    }
    if (model_.contains(number)) return;
    const auto priority = static_cast<uint8_t>(Random(3) * 30);
    const BlockRef above = parent == 0 ? kNoBlock : model_[parent].ref;
    const BlockRef ref = index_.Insert(kSpace, 0, HashOf(number), above, {}, {priority, 0, 0});
    if (ref == kNoBlock) {
      ASSERT_EQ(model_.size(), kBlocksMax);
      return;
    }
    if (parent != 0) ++model_[parent].children;
    model_[number] = {parent, 0, 0, priority, false, ref};
    number_of_[ref] = number;
  }

  void Change(ModelBlock& block, int how) {
    if (how == 0 && !block.doomed) {
      ++block.pins;
      index_.Pin(block.ref);
    } else if (how == 1 && block.pins > 0) {
      --block.pins;
      index_.Unpin(block.ref);
    } else if (how == 2) {
      index_.TouchAncestors(block.ref, 1000);
    } else if (how == 3) {
      block.priority = static_cast<uint8_t>(Random(3) * 30);
      index_.SetRetention(block.ref, {block.priority, 0, 0});
    } else if (how == 4 && Random(4) == 0) {
      block.doomed = true;
      index_.Doom(block.ref, MissReason::kQuarantined);
    }
  }

  void Evict() {
    const bool possible =
        std::any_of(model_.begin(), model_.end(), [](const auto& b) { return MayGo(b.second); });
    ASSERT_EQ(index_.EvictColdest(), possible);
  }

  // Applies what the index said it removed, and checks that it was allowed to.
  void Settle() {
    for (const Removed& removed : gone_) {
      const uint64_t number = number_of_.at(removed.block);
      const ModelBlock& block = model_.at(number);
      ASSERT_TRUE(MayGo(block)) << number;
      ASSERT_TRUE(removed.by_pressure || block.doomed);
      for (const auto& [other, b] : model_) {
        if (removed.by_pressure && MayGo(b)) {
          ASSERT_GE(b.priority, block.priority) << other;
        }
      }
      if (block.parent != 0) --model_.at(block.parent).children;
      number_of_.erase(removed.block);
      model_.erase(number);
    }
    gone_.clear();
  }

  void Probe() {
    const uint64_t number = 1 + Random(kNumbers);
    MissReason reason;
    const BlockRef found = index_.Find(kSpace, HashOf(number), Fidelity::kUnspecified, &reason);
    ASSERT_EQ(found != kNoBlock, model_.contains(number) && !model_[number].doomed) << number;
    ASSERT_EQ(index_.size(), model_.size());
  }

  EvictionOrderFactory Order() {
    if (GetParam() % 2 == 0) return Lru();
    return [ghosts = std::make_shared<GhostTable>(1000)](OrderLinks& links) {
      return MakeS3FifoOrder(links, ghosts);
    };
  }

  std::mt19937_64 random_{1000u + GetParam()};
  std::map<uint64_t, ModelBlock> model_;  // by number
  std::map<BlockRef, uint64_t> number_of_;
  std::vector<Removed> gone_;
  BlockIndex index_{kBlocksMax, Order(), Fingerprinter({}),
                    [this](const Removed& removed) { gone_.push_back(removed); }};
};

TEST_P(BlockIndexPropertyTest, KeepsItsInvariantsOverRandomOperations) {
  SCOPED_TRACE("seed " + std::to_string(1000 + GetParam()));
  for (int step = 0; step < 6'000 && !HasFatalFailure(); ++step) {
    const int what = static_cast<int>(Random(10));
    if (model_.empty() || what < 4) {
      Insert();
    } else if (what < 9) {
      Change(Any().second, what - 4);
    } else {
      Evict();
    }
    Settle();
    Probe();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, BlockIndexPropertyTest, ::testing::Range(0, 4));

}  // namespace
}  // namespace larder::server
