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

class BlockIndexHbmTest : public ::testing::Test {
 protected:
  BlockRef Add(uint64_t number, BlockRef parent = kNoBlock, uint8_t priority = kPriorityDefault) {
    return index.Insert(kSpace, 0, HashOf(number), parent, {next++, 100, 0, Fidelity::kNear},
                        {priority, 0, 0});
  }
  SsdCopy Copy(Fidelity fidelity = Fidelity::kNear) {
    return {{.generation = 1, .offset = next++, .frame_bytes = 90},
            0,
            0,
            static_cast<uint8_t>(fidelity)};
  }
  MissReason Miss(uint64_t number, Fidelity fidelity_min = Fidelity::kUnspecified) {
    MissReason reason = MissReason::kNone;
    index.Find(kSpace, HashOf(number), fidelity_min, &reason);
    return reason;
  }
  // Blocks 1..count as heads, all in HBM.
  std::vector<BlockRef> AddInHbm(uint64_t count) {
    std::vector<BlockRef> blocks;
    for (uint64_t number = 1; number <= count; ++number) {
      blocks.push_back(Add(number));
      index.MoveToHbm(blocks.back(), next++, 0);
    }
    return blocks;
  }

  struct Count {
    size_t slabs = 0;
    size_t freed = 0;  // since the last count
  };
  // The index's counts agree with its blocks, and every parent is there.
  void CountAll(Count* count) {
    size_t in_memory = 0, in_hbm = 0;
    for (BlockRef block = 0; block < index.entries_used(); ++block) {
      if (!index.present(block)) continue;
      in_memory += index.in_memory(block);
      in_hbm += index.in_hbm(block);
      const BlockRef parent = index.parent_of(block);
      ASSERT_TRUE(parent == kNoBlock || index.present(parent));
    }
    ASSERT_EQ(in_memory, index.memory_blocks());
    ASSERT_EQ(in_hbm, index.hbm_blocks());
    count->slabs = in_memory + in_hbm;
    for (const Removed& gone : removed) {
      count->freed += gone.residency.in_memory() || gone.residency.in_hbm;
    }
    removed.clear();
  }

  std::vector<Removed> removed;
  uint32_t next = 1;
  BlockIndex index{1000,
                   [](OrderLinks& links) { return MakeLruOrder(links); },
                   Fingerprinter({}),
                   [this](const Removed& r) { removed.push_back(r); },
                   {.with_ssd = true, .with_hbm = true}};
};

TEST_F(BlockIndexHbmTest, ABlockMovesThereAndBackWithItsSlabs) {
  const BlockRef block = Add(1);
  const SlabRef memory = index.ResidencyOf(block).slab;
  ASSERT_EQ(index.ColdestForHbm(), block);
  EXPECT_EQ(index.MoveToHbm(block, 500, 0xABC), memory);
  EXPECT_EQ(index.ResidencyOf(block).tier(), TierKind::kHbm);
  EXPECT_FALSE(index.ResidencyOf(block).in_memory());
  EXPECT_EQ(index.hbm_origin_tag(block), 0xABCu);
  EXPECT_EQ(index.hbm_blocks(), 1u);
  EXPECT_EQ(index.memory_blocks(), 0u);
  EXPECT_EQ(Miss(1), MissReason::kNone);
  EXPECT_FALSE(index.EvictColdest());  // nothing is in memory
  EXPECT_EQ(index.MoveToMemory(block, 600), 500u);
  EXPECT_EQ(index.ResidencyOf(block).tier(), TierKind::kDram);
  EXPECT_EQ(index.ResidencyOf(block).slab, 600u);
  EXPECT_EQ(index.hbm_blocks(), 0u);
  EXPECT_TRUE(removed.empty());
}

TEST_F(BlockIndexHbmTest, TheColdestOfHbmGoesTailFirstAndNeverWhatIsPinned) {
  const BlockRef head = Add(1);
  const BlockRef tail = Add(2, head);
  const BlockRef other = Add(3);
  for (const BlockRef block : {head, tail, other}) index.MoveToHbm(block, next++, 0);
  index.Pin(tail);
  ASSERT_TRUE(index.EvictColdestHbm());
  EXPECT_EQ(removed.back().block, other);
  EXPECT_FALSE(index.EvictColdestHbm());  // the head has a child, the child is held
  index.Unpin(tail);
  ASSERT_TRUE(index.EvictColdestHbm());
  EXPECT_EQ(removed.back().block, tail);
  EXPECT_TRUE(removed.back().residency.in_hbm);
  ASSERT_TRUE(index.EvictColdestHbm());
  EXPECT_EQ(removed.back().block, head);
  EXPECT_EQ(index.hbm_blocks(), 0u);
  EXPECT_EQ(Miss(1), MissReason::kEvicted);
}

TEST_F(BlockIndexHbmTest, WhatIsOnSsdTooOnlyLosesItsCopy) {
  const BlockRef head = Add(1);
  const BlockRef child = Add(2, head);
  index.AddSsd(head, Copy());
  index.MoveToHbm(head, 500, 0);
  ASSERT_TRUE(index.EvictColdestHbm());
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_TRUE(removed[0].stays);
  EXPECT_EQ(removed[0].residency.slab, 500u);
  EXPECT_TRUE(removed[0].residency.in_hbm);
  EXPECT_EQ(index.ResidencyOf(head).tier(), TierKind::kSsd);
  EXPECT_EQ(index.ResidencyOf(head).frame_bytes, 90u);
  EXPECT_EQ(index.parent_of(child), head);
}

TEST_F(BlockIndexHbmTest, MakesNoRoomAmongWhatIsMoreImportant) {
  const BlockRef high = Add(1, kNoBlock, 80);
  index.MoveToHbm(high, next++, 0);
  EXPECT_FALSE(index.EvictColdestHbm(/*priority_max=*/79));
  EXPECT_TRUE(index.EvictColdestHbm(/*priority_max=*/80));
}

TEST_F(BlockIndexHbmTest, AParentThatPressurePassedOverStillMoves) {
  const BlockRef head = Add(1);
  const BlockRef tail = Add(2, head);
  index.MoveToHbm(tail, next++, 0);
  EXPECT_FALSE(index.EvictColdest());  // its child is in HBM
  EXPECT_EQ(index.ColdestForHbm(), head);
  index.MoveToHbm(head, next++, 0);
  EXPECT_EQ(index.ColdestForHbm(), kNoBlock);
  // The same when it is held while pressure looks at it.
  const BlockRef second = Add(3);
  const BlockRef child = Add(4, second);
  index.MoveToHbm(child, next++, 0);
  index.Pin(second);
  EXPECT_FALSE(index.EvictColdest());
  EXPECT_EQ(index.ColdestForHbm(), kNoBlock);
  index.Unpin(second);
  EXPECT_EQ(index.ColdestForHbm(), second);
}

TEST_F(BlockIndexHbmTest, ABetterCopyTakesThePlaceOfTheOneInHbm) {
  const BlockRef block = Add(1);
  index.MoveToHbm(block, 500, 0);
  EXPECT_EQ(index.Insert(kSpace, 0, HashOf(1), kNoBlock, {501, 200, 0, Fidelity::kExact}, {}),
            block);
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0].residency.slab, 500u);
  EXPECT_TRUE(removed[0].residency.in_hbm);
  EXPECT_EQ(index.ResidencyOf(block).tier(), TierKind::kDram);
  EXPECT_EQ(index.hbm_blocks(), 0u);
}

TEST_F(BlockIndexHbmTest, WithTheDeviceGoesWhatLayThereAlone) {
  const auto blocks = AddInHbm(4);
  const BlockRef on_ssd = Add(10);
  index.AddSsd(on_ssd, Copy(Fidelity::kBalanced));
  index.MoveToHbm(on_ssd, next++, 0);
  const BlockRef in_memory = Add(11);
  const BlockRef held_on_ssd = Add(12);
  index.AddSsd(held_on_ssd, Copy());
  index.MoveToHbm(held_on_ssd, next++, 0);
  index.Pin(held_on_ssd);
  index.Pin(blocks[3]);
  index.LoseHbm(0, index.entries_used());
  for (uint64_t number = 1; number <= 4; ++number) EXPECT_EQ(Miss(number), MissReason::kEvicted);
  EXPECT_TRUE(removed[0].lost);
  EXPECT_EQ(index.ResidencyOf(on_ssd).tier(), TierKind::kSsd);
  EXPECT_EQ(Miss(10), MissReason::kNone);
  EXPECT_EQ(Miss(10, Fidelity::kNear), MissReason::kFidelity);  // what SSD has is less
  EXPECT_EQ(index.ResidencyOf(in_memory).tier(), TierKind::kDram);
  EXPECT_EQ(index.ResidencyOf(held_on_ssd).tier(), TierKind::kHbm);
  index.Unpin(held_on_ssd);
  index.Unpin(blocks[3]);
  index.LoseHbm(0, index.entries_used());
  EXPECT_EQ(index.ResidencyOf(held_on_ssd).tier(), TierKind::kSsd);
  EXPECT_EQ(index.hbm_blocks(), 0u);
  EXPECT_EQ(index.ColdestForHbm(), kNoBlock);  // nothing goes there any more
}

// Whatever happens to blocks: the counts agree with the blocks, ancestors are there, and every slab is
// freed once.
TEST_F(BlockIndexHbmTest, KeepsItsInvariantsInAnyOrderOfEvents) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<BlockRef> pinned;
  uint64_t moves = 0, returns = 0, slabs_freed = 0, slabs_taken = 0;
  for (uint64_t step = 0; step < 30'000; ++step) {
    if (step == 29'000) {
      for (const BlockRef block : pinned) index.Unpin(block);
      pinned.clear();
      index.LoseHbm(0, index.entries_used());
      // But for those that wait for their children to go.
      for (BlockRef block = 0; block < index.entries_used(); ++block) {
        ASSERT_FALSE(index.present(block) && index.live(block) && index.in_hbm(block));
      }
    }
    const uint64_t number = 1 + random() % 100;
    MissReason reason = MissReason::kNone;
    const BlockRef found = index.Find(kSpace, HashOf(number), Fidelity::kUnspecified, &reason);
    switch (random() % 8) {
      case 0:
      case 1: {
        if (found != kNoBlock) break;
        const BlockRef parent = number % 5 == 0 ? kNoBlock
                                                : index.Find(kSpace, HashOf(number / 2),
                                                             Fidelity::kUnspecified, &reason);
        if (number % 5 != 0 && parent == kNoBlock) break;
        slabs_taken += Add(number, parent, random() % 3) != kNoBlock;
        break;
      }
      case 2: {
        const BlockRef block = index.ColdestForHbm();
        if (block == kNoBlock || step >= 29'000) break;
        index.MoveToHbm(block, next++, 0);
        ++slabs_freed, ++slabs_taken, ++moves;
        break;
      }
      case 3:
        if (found == kNoBlock || !index.in_hbm(found)) break;
        index.MoveToMemory(found, next++);
        ++slabs_freed, ++slabs_taken, ++returns;
        break;
      case 4:
        if (index.size() > 50) index.EvictColdest();
        break;
      case 5:
        if (index.size() > 50) index.EvictColdestHbm(random() % 3);
        break;
      case 6:
        if (found == kNoBlock || index.on_ssd(found) || !index.in_memory(found)) break;
        index.AddSsd(found, Copy());
        break;
      default:
        if (pinned.size() > 5 || (found == kNoBlock && !pinned.empty())) {
          index.Unpin(pinned.back());
          pinned.pop_back();
        } else if (found != kNoBlock) {
          index.Pin(found);
          pinned.push_back(found);
        }
    }
    Count count;
    ASSERT_NO_FATAL_FAILURE(CountAll(&count)) << "step " << step;
    slabs_freed += count.freed;
    ASSERT_EQ(slabs_taken - slabs_freed, count.slabs) << "step " << step;
  }
  EXPECT_GT(moves, 500u);
  EXPECT_GT(returns, 100u);
}

}  // namespace
}  // namespace larder::server
