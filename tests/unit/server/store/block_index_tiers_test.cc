#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "server/policy/lru_order.h"
#include "server/store/block_index.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

constexpr SpaceId kSpace = 77;

class BlockIndexTiersTest : public ::testing::Test {
 protected:
  BlockRef Add(uint64_t number, BlockRef parent = kNoBlock, uint8_t priority = kPriorityDefault) {
    return index.Insert(kSpace, 0, HashOf(number), parent, {next++, 100, 0, Fidelity::kExact},
                        {priority, 0, 0});
  }
  SsdCopy Copy(Fidelity fidelity = Fidelity::kExact) {
    return {{.generation = 1, .offset = next++, .frame_bytes = 100},
            0,
            0,
            static_cast<uint8_t>(fidelity)};
  }
  BlockIndex::Restored Found(uint64_t number, uint64_t parent) {
    BlockIndex::Restored found;
    found.key = index.KeyOf(kSpace, HashOf(number));
    found.has_parent = parent != 0;
    if (parent != 0) found.parent = index.KeyOf(kSpace, HashOf(parent));
    found.copy = Copy();
    return found;
  }
  size_t MatchLength(uint64_t first, uint64_t count) {
    std::vector<PrefixHash> hashes;
    for (uint64_t i = 0; i < count; ++i) hashes.push_back(HashOf(first + i));
    std::vector<BlockRef> blocks(count);
    return index.Match(kSpace, hashes, Fidelity::kUnspecified, blocks).length;
  }

  std::vector<Removed> removed;
  uint32_t next = 1;
  BlockIndex index{1000, [](OrderLinks& links) { return MakeLruOrder(links); }, Fingerprinter({}),
                   [this](const Removed& r) { removed.push_back(r); }, {.with_ssd = true}};
};

TEST_F(BlockIndexTiersTest, ABlockOnSsdOnlyLosesItsMemoryWhateverItsChildren) {
  const BlockRef head = Add(1);
  const BlockRef child = Add(2, head);
  index.AddSsd(head, Copy());
  ASSERT_TRUE(index.EvictColdest());
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0].block, head);
  EXPECT_TRUE(removed[0].stays);
  EXPECT_TRUE(removed[0].residency.in_memory());
  EXPECT_FALSE(removed[0].ssd);
  EXPECT_EQ(MatchLength(1, 2), 2u);
  EXPECT_FALSE(index.in_memory(head));
  EXPECT_EQ(index.ResidencyOf(head).tier(), TierKind::kSsd);
  EXPECT_EQ(index.ResidencyOf(child).tier(), TierKind::kDram);
  EXPECT_FALSE(index.EvictColdestSsd({.priority = kPriorityDefault}));  // its child is resident
}

TEST_F(BlockIndexTiersTest, ThePinnedKeepTheirMemory) {
  const BlockRef block = Add(1);
  index.AddSsd(block, Copy());
  index.Pin(block);
  EXPECT_FALSE(index.EvictColdest());
  index.Unpin(block);
  EXPECT_TRUE(index.EvictColdest());
}

TEST_F(BlockIndexTiersTest, AParkedBlockMayLeaveMemoryOnceItIsOnSsd) {
  const BlockRef head = Add(1);
  const BlockRef child = Add(2, head);
  index.Pin(child);
  EXPECT_FALSE(index.EvictColdest());
  index.AddSsd(head, Copy());
  EXPECT_TRUE(index.EvictColdest());
  EXPECT_FALSE(index.in_memory(head));
  index.Unpin(child);
}

TEST_F(BlockIndexTiersTest, SsdEvictsTheColdestOfTheUnion) {
  for (uint64_t number = 1; number <= 6; ++number) index.AddSsd(Add(number), Copy());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(index.EvictColdest());  // 1..4 on SSD alone
  MissReason reason;
  const BlockRef used =
      index.Find(kSpace, HashOf(1), Fidelity::kUnspecified, &reason);
  index.TouchChain(std::span(&used, 1));
  ASSERT_TRUE(index.EvictColdestSsd({.priority = kPriorityDefault}));
  EXPECT_EQ(MatchLength(2, 1), 0u);
  EXPECT_TRUE(removed.back().ssd);
  EXPECT_FALSE(removed.back().stays);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(index.EvictColdestSsd({.priority = kPriorityDefault}));
  EXPECT_FALSE(index.EvictColdestSsd({.priority = kPriorityDefault}));  // 5 and 6 are in memory
  EXPECT_EQ(index.size(), 2u);
  EXPECT_EQ(index.ssd_blocks(), 2u);
}

TEST_F(BlockIndexTiersTest, AChainIsOnSsdWhenEveryBlockIs) {
  const BlockRef one = Add(1), two = Add(2, one), three = Add(3, two);
  index.AddSsd(one, Copy());
  index.AddSsd(three, Copy());
  EXPECT_TRUE(index.ChainOnSsd(one));
  EXPECT_FALSE(index.ChainOnSsd(three));
  index.AddSsd(two, Copy());
  EXPECT_TRUE(index.ChainOnSsd(three));
  index.DropSsd(index.key_of(three), index.ssd_of(three).location, MissReason::kQuarantined);
  EXPECT_FALSE(index.ChainOnSsd(three));
}

TEST_F(BlockIndexTiersTest, PriorityBoundsWhatSsdGivesUp) {
  index.AddSsd(Add(1, kNoBlock, 60), Copy());
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_FALSE(index.EvictColdestSsd({.priority = 59}));
  EXPECT_TRUE(index.EvictColdestSsd({.priority = 60}));
}

TEST_F(BlockIndexTiersTest, LowerCopiesThatMemoryKeepsGoBeforeBlocksOfTheSamePriority) {
  index.AddSsd(Add(1, kNoBlock, 60), Copy());
  const BlockRef head = Add(2), leaf = Add(3, head), leaf_on_ssd = Add(4, head);
  index.AddSsd(head, Copy());
  index.AddSsd(leaf_on_ssd, Copy());
  index.Pin(leaf);
  index.Pin(leaf_on_ssd);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(index.EvictColdest());  // the head and 1, to SSD alone
  index.Unpin(leaf);
  index.Unpin(leaf_on_ssd);
  ASSERT_TRUE(index.EvictColdestSsd({.priority = 60}));  // the copy of a leaf in memory, or a leaf that holds one
  ASSERT_TRUE(index.EvictColdestSsd({.priority = 60}));
  EXPECT_TRUE(index.present(head));
  EXPECT_EQ(MatchLength(4, 1) + MatchLength(3, 1), 1u);  // 3 went, for the head's sake
  EXPECT_FALSE(index.on_ssd(leaf_on_ssd));
  EXPECT_EQ(MatchLength(1, 1), 1u);
  ASSERT_TRUE(index.EvictColdestSsd({.priority = 60}));  // 4, for the same reason
  ASSERT_TRUE(index.EvictColdestSsd({.priority = 60}));  // the head
  EXPECT_FALSE(index.present(head));
  EXPECT_EQ(MatchLength(1, 1), 1u);
  ASSERT_TRUE(index.EvictColdestSsd({.priority = 60}));  // nothing lower is left
  EXPECT_EQ(MatchLength(1, 1), 0u);
}

TEST_F(BlockIndexTiersTest, NoNewcomerOfLowerPriorityPushesABlockOut) {
  const BlockRef block = Add(1, kNoBlock, 60);
  EXPECT_FALSE(index.EvictColdest({.priority = 59}));
  index.AddSsd(block, Copy());
  EXPECT_TRUE(index.EvictColdest({.priority = 59}));  // it stays, on SSD
  EXPECT_EQ(MatchLength(1, 1), 1u);
}

TEST_F(BlockIndexTiersTest, WhatWaitsToBeWrittenIsSparedWhileMemoryHoldsWhatIsOnSsd) {
  const BlockRef waiting = Add(1), other = Add(2), written = Add(3);
  index.SetQueued(waiting, true);
  index.SetQueued(other, true);
  index.AddSsd(written, Copy());
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_FALSE(index.in_memory(written));
  EXPECT_EQ(MatchLength(1, 1) + MatchLength(2, 1), 2u);
  // Now there is only what would be lost: the coldest goes.
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_EQ(MatchLength(1, 1), 0u);
  EXPECT_TRUE(removed.back().overtaken);
  // Written after all, the other may leave memory as any block.
  index.SetQueued(other, false);
  index.AddSsd(other, Copy());
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_FALSE(index.in_memory(other));
  EXPECT_FALSE(index.EvictColdest());
}

TEST_F(BlockIndexTiersTest, TheSparedAreNoWarmerThanWhatIsNeverWritten) {
  const BlockRef waiting = Add(1);
  index.SetQueued(waiting, true);
  index.AddSsd(Add(2), Copy());
  ASSERT_TRUE(index.EvictColdest());  // the copy of 2
  const BlockRef refused = Add(3);    // not admitted to SSD
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_FALSE(index.live(waiting));
  EXPECT_TRUE(index.live(refused));
}

TEST_F(BlockIndexTiersTest, ASparedBlockThatIsUsedIsWarm) {
  const BlockRef waiting = Add(1);
  index.SetQueued(waiting, true);
  index.AddSsd(Add(2), Copy());
  ASSERT_TRUE(index.EvictColdest());
  const BlockRef newer = Add(3);
  index.TouchChain(std::span(&waiting, 1));
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_TRUE(index.live(waiting));
  EXPECT_FALSE(index.live(newer));
}

TEST_F(BlockIndexTiersTest, AWriteDoesNotKeepAnExpiredBlock) {
  const BlockRef block = index.Insert(kSpace, 0, HashOf(1), kNoBlock,
                                      {next++, 100, 0, Fidelity::kExact}, {kPriorityDefault, 0, 5});
  index.Pin(block);
  index.SetWriting(block, true);
  index.Advance(5, 10);
  MissReason reason = MissReason::kNone;
  EXPECT_EQ(index.FindHeld(kSpace, HashOf(1), Fidelity::kUnspecified, &reason), kNoBlock);
  EXPECT_EQ(reason, MissReason::kExpired);
  index.Pin(block);  // a lease
  EXPECT_EQ(index.FindHeld(kSpace, HashOf(1), Fidelity::kUnspecified, &reason), block);
  index.Unpin(block);
  index.SetWriting(block, false);
  index.Unpin(block);
  EXPECT_FALSE(index.present(block));
}

TEST_F(BlockIndexTiersTest, TheSparedAreDrainedToo) {
  const BlockRef waiting = Add(1);
  index.SetQueued(waiting, true);
  index.AddSsd(Add(2), Copy());
  ASSERT_TRUE(index.EvictColdest());
  const std::vector<BlockRef> order = index.DrainOrder();
  EXPECT_EQ(order, std::vector<BlockRef>{waiting});
}

TEST_F(BlockIndexTiersTest, ABetterCopyReplacesInMemoryAndTheLesserServesUntilItIsWritten) {
  const BlockRef block =
      index.Insert(kSpace, 0, HashOf(1), kNoBlock, {next++, 100, 3, Fidelity::kNear}, {});
  index.AddSsd(block, Copy(Fidelity::kNear));
  EXPECT_FALSE(index.WantsSsd(block));
  ASSERT_EQ(Add(1), block);
  EXPECT_TRUE(index.on_ssd(block));
  EXPECT_TRUE(index.WantsSsd(block));
  EXPECT_EQ(index.ResidencyOf(block).fidelity, Fidelity::kExact);
  index.AddSsd(block, Copy());
  EXPECT_TRUE(removed.back().stays);
  EXPECT_TRUE(removed.back().ssd);
  EXPECT_EQ(index.ssd_blocks(), 1u);
  EXPECT_FALSE(index.WantsSsd(block));
}

TEST_F(BlockIndexTiersTest, ALostCopyIsAMissUnlessMemoryHasOne) {
  const BlockRef one = Add(1);
  const BlockRef two = Add(2);
  index.AddSsd(one, Copy());
  index.AddSsd(two, Copy());
  ASSERT_TRUE(index.EvictColdest());  // 1
  const SsdLocation at_one = index.ssd_of(one).location, at_two = index.ssd_of(two).location;
  SsdLocation stale = at_one;
  ++stale.offset;
  EXPECT_EQ(index.DropSsd(index.key_of(one), stale, MissReason::kQuarantined), kNoBlock);
  EXPECT_NE(index.DropSsd(index.key_of(one), at_one, MissReason::kQuarantined), kNoBlock);
  EXPECT_NE(index.DropSsd(index.key_of(two), at_two, MissReason::kQuarantined), kNoBlock);
  EXPECT_EQ(MatchLength(1, 1), 0u);
  EXPECT_EQ(MatchLength(2, 1), 1u);
  EXPECT_EQ(index.ssd_bytes(), 0u);
}

TEST_F(BlockIndexTiersTest, RestoresInAnyOrderAndDropsOrphans) {
  std::vector<uint64_t> numbers;
  for (uint64_t number = 1; number <= 300; ++number) numbers.push_back(number);
  std::mt19937_64 random(7);
  std::shuffle(numbers.begin(), numbers.end(), random);
  for (const uint64_t number : numbers) {
    // Chains of 100; the second one has lost its block 150.
    if (number == 150) continue;
    ASSERT_TRUE(index.Restore(Found(number, number % 100 == 1 ? 0 : number - 1))) << number;
  }
  for (BlockRef begin = 0; begin < index.entries_used(); begin += 16) {
    index.DropOrphans(begin, begin + 16);
  }
  EXPECT_EQ(MatchLength(1, 100), 100u);
  EXPECT_EQ(MatchLength(101, 100), 49u);
  EXPECT_EQ(MatchLength(151, 50), 0u);
  EXPECT_EQ(MatchLength(201, 100), 100u);
  EXPECT_EQ(index.size(), 249u);  // the awaited block is gone too
  EXPECT_EQ(index.ssd_blocks(), 249u);
}

// A catalog that turned out to be damaged half-way is rebuilt and visited again.
TEST_F(BlockIndexTiersTest, ABlockThatIsFoundAgainLiesWhereItWasFoundLast) {
  BlockIndex::Restored found = Found(1, 0);
  ASSERT_EQ(index.Restore(found), found.copy.location.frame_bytes);
  found.copy.location.offset += 1;
  found.copy.location.frame_bytes += 100;
  found.copy.fidelity = static_cast<uint8_t>(Fidelity::kBalanced);
  EXPECT_EQ(index.Restore(found), 100);
  EXPECT_EQ(index.Restore(found), 0);
  EXPECT_EQ(index.ssd_blocks(), 1u);
  const BlockRef block = index.FindKey(found.key);
  EXPECT_EQ(index.ssd_of(block).location, found.copy.location);
  EXPECT_EQ(index.ResidencyOf(block).frame_bytes, found.copy.location.frame_bytes);
  EXPECT_EQ(index.ResidencyOf(block).fidelity, Fidelity::kBalanced);
  EXPECT_TRUE(removed.empty());  // no name is erased
}

TEST_F(BlockIndexTiersTest, ADescendantIsNotDurableOnceAnAncestorHasLostItsCopy) {
  const BlockRef head = Add(1), child = Add(2, head), grandchild = Add(3, child);
  const SsdCopy copy = Copy();
  index.AddSsd(head, copy);
  index.AddSsd(child, Copy());
  ASSERT_TRUE(index.ChainOnSsd(child));
  index.AddSsd(grandchild, Copy());
  ASSERT_TRUE(index.ChainOnSsd(grandchild));
  ASSERT_EQ(index.DropSsd(index.key_of(head), copy.location, MissReason::kQuarantined), head);
  EXPECT_FALSE(index.ChainOnSsd(child));
  EXPECT_FALSE(index.ChainOnSsd(grandchild));
  index.AddSsd(head, Copy());
  EXPECT_TRUE(index.ChainOnSsd(grandchild));
}

TEST_F(BlockIndexTiersTest, WhoeverWaitsGetsTheRoomOfACopyThatMemoryKeeps) {
  const BlockRef block = Add(1);
  index.AddSsd(block, Copy());
  const uint8_t priority = index.priority_of(block);
  EXPECT_FALSE(index.EvictColdestSsd({.priority = priority}));
  const auto lower = static_cast<uint8_t>(priority - 1);
  EXPECT_FALSE(index.EvictColdestSsd({.priority = lower, .wanted_now = true}));
  EXPECT_TRUE(index.EvictColdestSsd({.priority = priority, .wanted_now = true}));
  EXPECT_FALSE(index.on_ssd(block));
  EXPECT_TRUE(index.in_memory(block));
}

TEST_F(BlockIndexTiersTest, APutTakesTheAwaitedBlocksPlace) {
  ASSERT_TRUE(index.Restore(Found(2, 1)));
  EXPECT_EQ(MatchLength(1, 2), 0u);
  ASSERT_NE(Add(1), kNoBlock);
  EXPECT_EQ(MatchLength(1, 2), 2u);
  EXPECT_FALSE(index.Restore(Found(1, 0)));  // what was put is newer
  EXPECT_EQ(index.ResidencyOf(index.FindKey(index.KeyOf(kSpace, HashOf(1)))).tier(),
            TierKind::kDram);
}

TEST_F(BlockIndexTiersTest, PromotedBlocksAreOrderedInMemoryAgain) {
  const BlockRef block = Add(1);
  index.AddSsd(block, Copy());
  ASSERT_TRUE(index.EvictColdest());
  index.AddMemory(block, next++);
  EXPECT_EQ(index.memory_blocks(), 1u);
  EXPECT_FALSE(index.EvictColdestSsd({.priority = kPriorityDefault}));
  EXPECT_TRUE(index.EvictColdest());
  EXPECT_EQ(index.memory_blocks(), 0u);
}

TEST_F(BlockIndexTiersTest, TheWarmestComeLastInDrainOrder) {
  const BlockRef one = Add(1), two = Add(2), three = Add(3);
  index.TouchChain(std::span(&one, 1));
  EXPECT_EQ(index.DrainOrder(), (std::vector<BlockRef>{two, three, one}));
}

}  // namespace
}  // namespace larder::server
