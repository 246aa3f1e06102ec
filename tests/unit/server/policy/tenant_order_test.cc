#include "server/policy/tenant_order.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "server/policy/lfuda_order.h"
#include "server/policy/lru_order.h"
#include "server/policy/s3fifo_order.h"
#include "tests/unit/server/policy/naive_priority_lru.h"

namespace larder::server {
namespace {

constexpr size_t kBlocksMax = 256;

// Blocks of 10 bytes; account 1 has a reserve, account 2 a quota.
class TenantOrderTest : public testing::Test {
 protected:
  void Insert(BlockRef block, AccountRef account, uint8_t priority = 35) {
    order_.Insert(block, block, priority, account);
  }
  BlockRef Evict(AccountRef account) { return Take(order_.Coldest(account)); }
  BlockRef EvictOwn(AccountRef account) { return Take(order_.ColdestOf(account)); }

  TenantOrder order_{
      kBlocksMax, MakeLruOrder, {{.reserve_bytes = 20}, {.quota_bytes = 30}}, [](BlockRef) {
        return uint64_t{10};
      }};

 private:
  BlockRef Take(BlockRef block) {
    if (block != kNoBlock) order_.Remove(block, block);
    return block;
  }
};

TEST_F(TenantOrderTest, EmptyHasNothingToGo) {
  EXPECT_EQ(order_.Coldest(0), kNoBlock);
  EXPECT_EQ(order_.ColdestOf(1), kNoBlock);
}

TEST_F(TenantOrderTest, AcrossTenantsTheBlockUsedLongestAgoGoesFirst) {
  Insert(1, 2);
  Insert(2, 0);
  Insert(3, 2);
  Insert(4, 0);
  order_.Touch(1);
  for (const BlockRef expected : {2, 3, 4, 1}) EXPECT_EQ(Evict(0), expected);
}

TEST_F(TenantOrderTest, PriorityIsStrictAcrossTenants) {
  Insert(1, 0, 50);
  Insert(2, 2, 40);
  Insert(3, 0, 30);
  for (const BlockRef expected : {3, 2, 1}) EXPECT_EQ(Evict(0), expected);
}

TEST_F(TenantOrderTest, NobodyElseEvictsATenantBelowItsReserve) {
  for (BlockRef block = 0; block < 3; ++block) Insert(block, 1, /*priority=*/0);
  Insert(10, 0, /*priority=*/100);
  EXPECT_EQ(Evict(0), 0u);   // what account 1 has beyond its reserve
  EXPECT_EQ(Evict(0), 10u);  // then the higher priority of somebody without one
  EXPECT_EQ(Evict(0), kNoBlock);
  EXPECT_EQ(order_.used_bytes(1), 20u);
}

TEST_F(TenantOrderTest, ATenantWithinItsReserveTakesFromOthersFirstAndThenFromItself) {
  Insert(0, 1, /*priority=*/0);
  Insert(10, 0, /*priority=*/100);
  EXPECT_EQ(Evict(1), 10u);
  EXPECT_EQ(Evict(1), 0u);
}

TEST_F(TenantOrderTest, ABlockThatWouldLeaveLessThanTheReserveStays) {
  TenantOrder order(kBlocksMax, MakeLruOrder, {{.reserve_bytes = 15}},
                    [](BlockRef) { return uint64_t{10}; });
  order.Insert(1, 1, 35, 1);
  order.Insert(2, 2, 35, 1);
  EXPECT_EQ(order.Coldest(0), kNoBlock);  // 20 - 10 < 15
  order.Insert(3, 3, 35, 1);
  EXPECT_EQ(order.Coldest(0), 1u);
}

TEST_F(TenantOrderTest, SaysWhenATenantWouldExceedItsQuota) {
  EXPECT_FALSE(order_.Exceeds(2, 30));
  EXPECT_TRUE(order_.Exceeds(2, 31));
  EXPECT_TRUE(order_.Exceeds(2, UINT64_MAX));
  Insert(1, 2);
  EXPECT_FALSE(order_.Exceeds(2, 20));
  EXPECT_TRUE(order_.Exceeds(2, 21));
  EXPECT_FALSE(order_.Exceeds(0, uint64_t{1} << 60));
}

TEST_F(TenantOrderTest, ATenantsOwnColdestIsNobodyElses) {
  Insert(1, 0);
  Insert(2, 2, 90);
  Insert(3, 2, 20);
  EXPECT_EQ(EvictOwn(2), 3u);
  EXPECT_EQ(EvictOwn(2), 2u);
  EXPECT_EQ(EvictOwn(2), kNoBlock);
  EXPECT_EQ(Evict(2), 1u);
}

TEST_F(TenantOrderTest, AChangedSizeCountsAtOnce) {
  std::map<BlockRef, uint64_t> bytes = {{1, 10}, {2, 15}};
  TenantOrder order(kBlocksMax, MakeLruOrder, {{.reserve_bytes = 20}},
                    [&](BlockRef block) { return bytes[block]; });
  order.Insert(1, 1, 35, 1);
  order.Insert(2, 2, 35, 1);
  EXPECT_EQ(order.Coldest(0), kNoBlock);
  bytes[1] = 4;
  order.Resized(1, 10);
  EXPECT_EQ(order.used_bytes(1), 19u);
  bytes[2] = 20;
  order.Resized(2, 15);
  EXPECT_EQ(order.Coldest(0), 1u);
  order.Remove(1, 1);
  EXPECT_EQ(order.used_bytes(1), 20u);
}

TEST_F(TenantOrderTest, AnAssignedBlockKeepsItsPlaceAmongAll) {
  Insert(1, 0, 50);
  Insert(2, 0);
  Insert(3, 0);
  Insert(4, 2);
  order_.Assign(3, 2);
  order_.Assign(2, 2);
  order_.Assign(1, 1);
  EXPECT_EQ(order_.used_bytes(0), 0u);
  EXPECT_EQ(order_.used_bytes(2), 30u);
  EXPECT_EQ(order_.account(2), 2);
  EXPECT_EQ(order_.priority(1), 50);
  EXPECT_EQ(EvictOwn(2), 2u);
  EXPECT_EQ(Evict(0), 3u);
  EXPECT_EQ(Evict(0), 4u);
  EXPECT_EQ(Evict(0), kNoBlock);  // 1 is within its tenant's reserve now
  EXPECT_EQ(Evict(1), 1u);
}

TEST_F(TenantOrderTest, AnAssignedBlockStaysParked) {
  Insert(1, 0);
  Insert(2, 0);
  order_.Park(1);
  order_.Touch(1);
  order_.Assign(1, 2);
  EXPECT_TRUE(order_.parked(1));
  EXPECT_EQ(order_.used_bytes(2), 10u);
  EXPECT_EQ(order_.ColdestOf(2), kNoBlock);
  order_.Unpark(1);
  EXPECT_EQ(Evict(0), 2u);  // 1 was touched while it was parked
  EXPECT_EQ(Evict(0), 1u);
  EXPECT_EQ(order_.used_bytes(2), 0u);
}

TEST(TenantOrderDeathTest, AbortsOnAccountsThatDoNotAddUp) {
  TenantOrder order(kBlocksMax, MakeLruOrder, {}, [](BlockRef) { return uint64_t{1}; });
  order.Insert(2, 2, 35);
  EXPECT_DEATH(order.Resized(2, 5), "bug");
  EXPECT_DEATH(order.Insert(1, 1, 35, /*account=*/1), "bug");
}

// What the header promises, by a walk over every block in the order of one list for all tenants.
class NaiveTenants {
 public:
  struct Block {
    AccountRef account;
    uint64_t bytes;
  };
  explicit NaiveTenants(std::vector<TenantLimits> limits) : limits_(std::move(limits)) {}

  BlockRef Coldest(AccountRef putter) const {
    std::vector<bool> seen(limits_.size());
    for (const BlockRef block : lru.Ordered()) {
      const auto& [account, bytes] = blocks.at(block);
      if (seen[account]) continue;
      seen[account] = true;
      if (Used(account) >= limits_[account].reserve_bytes + bytes) return block;
    }
    return ColdestOf(putter);
  }
  BlockRef ColdestOf(AccountRef account) const {
    for (const BlockRef block : lru.Ordered()) {
      if (blocks.at(block).account == account) return block;
    }
    return kNoBlock;
  }
  uint64_t Used(AccountRef account) const {
    uint64_t used = 0;
    for (const auto& [ref, block] : blocks) used += block.account == account ? block.bytes : 0;
    return used;
  }

  NaivePriorityLru lru;
  std::map<BlockRef, Block> blocks;

 private:
  const std::vector<TenantLimits> limits_;
};

TEST(TenantOrderPropertyTest, AgreesWithANaiveModelUnderRandomUse) {
  using Condition = NaivePriorityLru::Condition;
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::vector<TenantLimits> limits = {
      {}, {.reserve_bytes = 700}, {.quota_bytes = 900, .reserve_bytes = 100}, {.quota_bytes = 300}};
  NaiveTenants model(limits);
  TenantOrder order(kBlocksMax, MakeLruOrder, {limits.begin() + 1, limits.end()},
                    [&](BlockRef block) { return model.blocks.at(block).bytes; });
  const auto remove = [&](BlockRef block, bool evicted) {
    order.Remove(block, evicted ? std::optional<uint64_t>(block) : std::nullopt);
    model.lru.Remove(block);
    model.blocks.erase(block);
  };
  int protected_choices = 0;
  int own_choices = 0;
  for (int step = 0; step < 60'000; ++step) {
    const BlockRef block = random() % 64;
    const uint8_t priority = random() % 3 * 40;
    const Condition condition = model.lru.condition(block);
    const uint64_t choice = random() % 8;
    if (condition == Condition::kAbsent) {
      const auto account = static_cast<AccountRef>(random() % limits.size());
      const uint64_t bytes = 10 + random() % 50;
      ASSERT_EQ(order.Exceeds(account, bytes),
                model.Used(account) + bytes > limits[account].quota_bytes);
      if (order.Exceeds(account, bytes)) {
        const BlockRef own = order.ColdestOf(account);
        ASSERT_EQ(own, model.ColdestOf(account)) << "step " << step;
        if (own != kNoBlock) remove(own, true);
        ++own_choices;
        continue;
      }
      model.blocks[block] = {account, bytes};
      order.Insert(block, block, priority, account);
      model.lru.Insert(block, priority);
    } else if (choice == 0) {
      remove(block, false);
    } else if (choice == 1) {
      order.SetPriority(block, block, priority);
      model.lru.SetPriority(block, priority);
    } else if (choice <= 3) {
      order.Unpark(block);
      model.lru.Unpark(block);
    } else if (choice <= 5 && condition == Condition::kOrdered) {
      order.Park(block);
      model.lru.Park(block);
    } else {
      order.Touch(block);
      model.lru.Touch(block);
    }
    const auto putter = static_cast<AccountRef>(random() % limits.size());
    const BlockRef coldest = order.Coldest(putter);
    ASSERT_EQ(coldest, model.Coldest(putter)) << "step " << step;
    ASSERT_EQ(order.ColdestOfAll(), model.lru.Coldest()) << "step " << step;
    if (coldest != model.lru.Coldest()) ++protected_choices;
    if (coldest != kNoBlock && random() % 3 == 0) remove(coldest, true);
  }
  for (size_t account = 0; account < limits.size(); ++account) {
    EXPECT_EQ(order.used_bytes(static_cast<AccountRef>(account)),
              model.Used(static_cast<AccountRef>(account)));
  }
  EXPECT_GT(protected_choices, 1'000);
  EXPECT_GT(own_choices, 100);
}

// Over every policy: nothing is lost, nobody goes below a reserve for another's sake.
TEST(TenantOrderPropertyTest, KeepsReservesOverEveryPolicy) {
  const auto ghosts = std::make_shared<GhostTable>(64);
  const EvictionOrderFactory factories[] = {MakeLruOrder, MakeLfudaOrder, [&](OrderLinks& links) {
                                              return MakeS3FifoOrder(links, ghosts);
                                            }};
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (const EvictionOrderFactory& factory : factories) {
    TenantOrder order(kBlocksMax, factory, {{.reserve_bytes = 40}, {.reserve_bytes = 25}},
                      [](BlockRef) { return uint64_t{1}; });
    std::map<BlockRef, AccountRef> held;
    int evictions = 0;
    for (int step = 0; step < 20'000; ++step) {
      const BlockRef block = random() % kBlocksMax;
      if (held.contains(block)) {
        order.Touch(block);
        continue;
      }
      const auto account = static_cast<AccountRef>(random() % 3);
      if (held.size() >= 100) {
        const BlockRef gone = order.Coldest(account);
        ASSERT_TRUE(held.contains(gone)) << "step " << step;
        const AccountRef whose = held[gone];
        order.Remove(gone, gone);
        ASSERT_TRUE(whose == account ||
                    order.used_bytes(whose) >= order.limits(whose).reserve_bytes);
        held.erase(gone);
        ++evictions;
      }
      order.Insert(block, block, random() % 2 * 50, account);
      held[block] = account;
    }
    EXPECT_GT(evictions, 5'000);
    EXPECT_GE(order.used_bytes(1), 40u);
    EXPECT_GE(order.used_bytes(2), 25u);
  }
}

}  // namespace
}  // namespace larder::server
