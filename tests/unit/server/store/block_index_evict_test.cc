// Quotas and reserves of the SSD tier: by hand, and under random use beside a naive model.
#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "server/policy/lru_order.h"
#include "server/store/block_index.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

constexpr SpaceId kSpace = 77;
constexpr uint32_t kFrameBytes = 100;
constexpr uint64_t kRecordBytes = kFrameBytes + 256;

// Slots 1 and 2 are tenants': a quota of three records on SSD, a reserve of three.
class BlockIndexEvictTest : public ::testing::Test {
 protected:
  static constexpr AccountRef kQuota = 1, kReserve = 2;

  BlockRef Add(uint64_t number, SpaceSlot slot, BlockRef parent = kNoBlock,
               uint8_t priority = kPriorityDefault) {
    return index.Insert(kSpace, slot, HashOf(number), parent,
                        {next++, kFrameBytes, 0, Fidelity::kExact}, {priority, 0, 0});
  }
  SsdCopy Copy(uint32_t frame_bytes = kFrameBytes) {
    return {{.generation = 1, .offset = next++, .frame_bytes = frame_bytes}, 0, 0, 5};
  }
  BlockRef AddOnSsd(uint64_t number, SpaceSlot slot, BlockRef parent = kNoBlock,
                    uint8_t priority = kPriorityDefault) {
    const BlockRef block = Add(number, slot, parent, priority);
    index.AddSsd(block, Copy());
    return block;
  }
  // To SSD alone, where nothing else is in memory.
  BlockRef AddOnSsdAlone(uint64_t number, SpaceSlot slot, uint8_t priority = kPriorityDefault) {
    const BlockRef block = AddOnSsd(number, slot, kNoBlock, priority);
    EXPECT_TRUE(index.EvictColdest());
    EXPECT_FALSE(index.present(block) && index.in_memory(block));
    return block;
  }
  bool Has(uint64_t number) {
    MissReason reason;
    return index.Find(kSpace, HashOf(number), Fidelity::kUnspecified, &reason) != kNoBlock;
  }
  BlockRef Restore(uint64_t number, SpaceSlot slot, uint64_t parent = 0) {
    BlockIndex::Restored found;
    found.key = index.KeyOf(kSpace, HashOf(number));
    found.has_parent = parent != 0;
    if (parent != 0) found.parent = index.KeyOf(kSpace, HashOf(parent));
    found.space = slot;
    found.copy = Copy();
    found.retention = {kPriorityDefault, 0, 0};
    EXPECT_TRUE(index.Restore(found));
    return index.FindKey(found.key);
  }

  std::vector<Removed> removed;
  uint32_t next = 1;
  std::array<AccountRef, 4> accounts = {kSharedAccount, kQuota, kReserve, kSharedAccount};
  BlockIndex index{1000,
                   [](OrderLinks& links) { return MakeLruOrder(links); },
                   Fingerprinter({}),
                   [this](const Removed& r) { removed.push_back(r); },
                   {.with_ssd = true,
                    .limits = {{}, {}},
                    .ssd_limits = {{.quota_bytes = 3 * kRecordBytes},
                                   {.reserve_bytes = 3 * kRecordBytes}},
                    .account_of = [this](SpaceSlot slot) { return accounts[slot]; }}};
};

TEST_F(BlockIndexEvictTest, AtItsQuotaATenantsOwnColdestLeaveSsd) {
  AddOnSsdAlone(100, 0);  // the coldest of all
  for (uint64_t number = 1; number <= 5; ++number) {
    AddOnSsdAlone(number, 1);
    EXPECT_EQ(index.ssd_used_bytes(kQuota), std::min<uint64_t>(number, 3) * kRecordBytes);
  }
  EXPECT_TRUE(Has(100) && !Has(1) && !Has(2) && Has(3) && Has(4) && Has(5));
  EXPECT_TRUE(removed.back().stays);
  EXPECT_TRUE(removed[removed.size() - 2].ssd);  // its tier is told
}

TEST_F(BlockIndexEvictTest, ABlockThatMemoryKeepsIsNotCharged) {
  const BlockRef block = AddOnSsd(1, 1);
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 0u);
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_EQ(index.ssd_used_bytes(kQuota), kRecordBytes);
  index.AddMemory(block, next++);
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 0u);
  ASSERT_TRUE(index.EvictColdest());
  index.DropSsd(index.key_of(block), index.ssd_of(block).location, MissReason::kQuarantined);
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 0u);
}

TEST_F(BlockIndexEvictTest, WithoutRoomInTheQuotaTheBlockItselfGoes) {
  std::vector<BlockRef> held;
  for (uint64_t number = 1; number <= 3; ++number) held.push_back(AddOnSsdAlone(number, 1));
  for (const BlockRef block : held) index.Pin(block);
  AddOnSsdAlone(4, 1);
  EXPECT_FALSE(Has(4));
  index.Unpin(held[1]);
  AddOnSsdAlone(5, 1, /*priority=*/10);  // lower than what would have to go
  EXPECT_FALSE(Has(5));
  AddOnSsdAlone(6, 1);
  EXPECT_TRUE(Has(6) && !Has(2));
  index.Unpin(held[0]);
  index.Unpin(held[2]);
}

TEST_F(BlockIndexEvictTest, ANewcomerOfLowerPriorityDoesNotPushABlockOutThroughTheQuota) {
  for (uint64_t number = 1; number <= 3; ++number) AddOnSsdAlone(number, 1, 60);
  AddOnSsd(4, 1, kNoBlock, 60);
  EXPECT_FALSE(index.EvictColdest({.priority = 59, .frame_bytes = kFrameBytes}));
  EXPECT_TRUE(index.EvictColdest({.priority = 60, .frame_bytes = kFrameBytes}));
  EXPECT_TRUE(!Has(1) && Has(4));
}

TEST_F(BlockIndexEvictTest, AParentWithoutRoomStaysInMemoryUntilThereIsSome) {
  std::vector<BlockRef> held;
  for (uint64_t number = 1; number <= 3; ++number) held.push_back(AddOnSsdAlone(number, 1));
  for (const BlockRef block : held) index.Pin(block);
  const BlockRef head = AddOnSsd(4, 1);
  const BlockRef child = Add(5, 1, head);
  index.Pin(child);
  EXPECT_FALSE(index.EvictColdest());
  EXPECT_TRUE(index.in_memory(head));
  index.Unpin(held[0]);
  EXPECT_TRUE(index.EvictColdest());
  EXPECT_FALSE(index.in_memory(head));
  EXPECT_FALSE(Has(1));
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 3 * kRecordBytes);
  for (const BlockRef block : {held[1], held[2], child}) index.Unpin(block);
}

TEST_F(BlockIndexEvictTest, AdvanceTriesAgainBeforeWarmerBlocksGo) {
  std::vector<BlockRef> held;
  for (uint64_t number = 1; number <= 3; ++number) held.push_back(AddOnSsdAlone(number, 1));
  for (const BlockRef block : held) index.Pin(block);
  const BlockRef head = AddOnSsd(4, 1);
  index.Pin(Add(5, 1, head));
  Add(6, 0);
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_FALSE(Has(6));
  for (const BlockRef block : held) index.Unpin(block);
  Add(7, 0);
  index.Advance(1, 10);
  ASSERT_TRUE(index.EvictColdest());
  EXPECT_TRUE(Has(7) && !index.in_memory(head));
}

TEST_F(BlockIndexEvictTest, ADoomedParentGoesWithTheChildThatMakesRoom) {
  const BlockRef head = AddOnSsd(1, 1);
  const BlockRef child = AddOnSsd(2, 1, head);
  index.Pin(head);
  ASSERT_TRUE(index.EvictColdest());
  ASSERT_FALSE(index.in_memory(child));
  index.Unpin(head);
  index.AddSsd(head, Copy(3 * kFrameBytes + 2 * 256));  // the whole quota
  index.Doom(head, MissReason::kQuarantined);
  ASSERT_TRUE(index.present(head));
  EXPECT_TRUE(index.EvictColdest());
  EXPECT_EQ(index.size(), 0u);
  EXPECT_EQ(index.ssd_bytes(), 0u);
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 0u);
}

TEST_F(BlockIndexEvictTest, NobodyElsesNeedTakesFromAReserveOnSsd) {
  for (uint64_t number = 1; number <= 4; ++number) AddOnSsdAlone(number, 2);
  for (uint64_t number = 11; number <= 12; ++number) AddOnSsdAlone(number, 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(index.EvictColdestSsd());
  EXPECT_TRUE(!Has(1) && Has(2) && Has(3) && Has(4) && !Has(11) && !Has(12));
  EXPECT_FALSE(index.EvictColdestSsd());
  EXPECT_FALSE(index.EvictColdestSsd({.account = kQuota, .wanted_now = true}));
  EXPECT_TRUE(index.EvictColdestSsd({.account = kReserve}));
  EXPECT_FALSE(Has(2));
  EXPECT_TRUE(index.EvictColdestSsd({.of_disk = true}));
  EXPECT_FALSE(Has(3));
}

TEST_F(BlockIndexEvictTest, ATenantGetsItsReserveOnSsdBackFromWhoeverHasIt) {
  for (uint64_t number = 11; number <= 14; ++number) AddOnSsdAlone(number, 0, 100);
  const SsdNeed need = {.account = kReserve, .priority = 0, .frame_bytes = kFrameBytes};
  for (uint64_t number = 1; number <= 3; ++number) {
    EXPECT_TRUE(index.EvictColdestSsd(need));
    AddOnSsdAlone(number, 2, 0);
  }
  EXPECT_TRUE(index.EvictColdestSsd(need));  // beyond it only what is not more important: its own
  EXPECT_TRUE(Has(14) && !Has(1));
}

TEST_F(BlockIndexEvictTest, ATenantBelowItsReserveKeepsTheCopiesOfWhatIsInMemory) {
  const BlockRef block = AddOnSsd(1, 2, kNoBlock, 0);
  EXPECT_FALSE(index.EvictColdestSsd({.priority = 100, .wanted_now = true}));
  EXPECT_TRUE(index.on_ssd(block));
  EXPECT_TRUE(index.EvictColdestSsd({.account = kReserve, .priority = 100}));
  EXPECT_FALSE(index.on_ssd(block));
}

TEST_F(BlockIndexEvictTest, WhatARestartFoundIsTheTenantsOnceItsSpaceIsKnown) {
  const BlockRef head = Restore(1, 3);
  for (uint64_t number = 2; number <= 5; ++number) Restore(number, 3, number - 1);
  const BlockRef pinned = Restore(6, 3);
  index.Pin(pinned);
  EXPECT_EQ(index.EvictColdestSsd(), true);  // parks the ancestors, and takes the tail
  EXPECT_FALSE(Has(5));
  EXPECT_EQ(index.ssd_used_bytes(kSharedAccount), 5 * kRecordBytes);
  AddOnSsdAlone(11, 1);
  accounts[3] = kQuota;
  index.AdoptSsd(3, 0, 2);
  index.AdoptSsd(3, 2, 1000);
  EXPECT_EQ(index.ssd_used_bytes(kSharedAccount), 0u);
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 6 * kRecordBytes);
  EXPECT_EQ(index.pins_of(pinned), 1u);
  EXPECT_EQ(index.SettleSsdQuotas(2), 2u);
  EXPECT_EQ(index.SettleSsdQuotas(2), 1u);
  EXPECT_TRUE(Has(1) && !Has(2) && Has(6) && Has(11));  // tail first, and never what is held
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 3 * kRecordBytes);
  EXPECT_EQ(index.SettleSsdQuotas(2), 0u);
  index.Unpin(pinned);
  EXPECT_TRUE(index.present(head));
}

TEST_F(BlockIndexEvictTest, WhatIsOverTheQuotaAndHeldGoesWhenItIsLetGo) {
  std::vector<BlockRef> held;
  for (uint64_t number = 1; number <= 5; ++number) held.push_back(Restore(number, 3));
  for (const BlockRef block : held) index.Pin(block);
  accounts[3] = kQuota;
  index.AdoptSsd(3, 0, 1000);
  EXPECT_EQ(index.Advance(1, 10), 0u);
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 5 * kRecordBytes);
  for (const BlockRef block : held) index.Unpin(block);
  EXPECT_EQ(index.Advance(1, 10), 2u);
  EXPECT_EQ(index.ssd_used_bytes(kQuota), 3 * kRecordBytes);
}

// --- Random use ---

struct ModelBlock {
  AccountRef account = kSharedAccount;
  uint8_t priority = 0;
  uint64_t used = 0;  // when
  uint64_t charge = 0;
  bool memory = false;
  bool ssd = false;
  std::tuple<uint8_t, uint64_t> rank() const { return {priority, used}; }
};

// Heads of chains that nobody holds, so that the order alone decides: every victim is known.
class RandomEvictTest : public BlockIndexEvictTest {
 protected:
  using Model = std::map<BlockRef, ModelBlock>;

  uint64_t UsedOnSsd(AccountRef account) const {
    uint64_t used = 0;
    for (const auto& [ref, block] : model) {
      if (!block.memory && block.account == account) used += block.charge;
    }
    return used;
  }
  template <typename Matches>
  BlockRef Coldest(Matches matches) const {
    BlockRef coldest = kNoBlock;
    for (const auto& [ref, block] : model) {
      if (!matches(block)) continue;
      if (coldest == kNoBlock || block.rank() < model.at(coldest).rank()) coldest = ref;
    }
    return coldest;
  }
  BlockRef ColdestOnSsd(AccountRef account) const {
    return Coldest([&](const ModelBlock& b) { return !b.memory && b.account == account; });
  }

  // As EvictColdest() of a newcomer of the highest priority.
  void EvictFromMemory(std::vector<BlockRef>& gone) {
    const BlockRef victim = Coldest([](const ModelBlock& block) { return block.memory; });
    if (victim == kNoBlock) return;
    ModelBlock& block = model[victim];
    const auto stays = [&] {
      while (block.account == kQuota && UsedOnSsd(kQuota) + block.charge > 3 * kRecordBytes) {
        const BlockRef own = ColdestOnSsd(kQuota);
        if (own == kNoBlock || model[own].priority > block.priority) return false;
        gone.push_back(own);
        model.erase(own);
      }
      return block.charge <= 3 * kRecordBytes || block.account != kQuota;
    };
    const bool left_alone = block.ssd && stays();
    quota_evictions += left_alone && !gone.empty();
    no_room += block.ssd && !left_alone;
    if (left_alone) {
      block.memory = false;
      block.used = ++now;
    } else {
      gone.push_back(victim);
      model.erase(victim);
    }
  }

  // As EvictColdestSsd() for a need of this account and the highest priority.
  void EvictFromSsd(AccountRef account, std::vector<BlockRef>& gone) {
    BlockRef victim = kNoBlock;
    for (AccountRef of = 0; of <= kReserve; ++of) {
      const BlockRef coldest = ColdestOnSsd(of);
      const uint64_t reserve = of == kReserve ? 3 * kRecordBytes : 0;
      if (coldest == kNoBlock || UsedOnSsd(of) < reserve + model[coldest].charge) continue;
      if (victim == kNoBlock || model[coldest].rank() < model[victim].rank()) victim = coldest;
    }
    if (victim == kNoBlock) victim = ColdestOnSsd(account);
    if (victim == kNoBlock) return;
    gone.push_back(victim);
    model.erase(victim);
  }

  template <typename Matches>
  BlockRef Pick(Matches matches) {
    std::vector<BlockRef> found;
    for (const auto& [ref, block] : model) {
      if (matches(block)) found.push_back(ref);
    }
    return found.empty() ? kNoBlock : found[random() % found.size()];
  }

  void AddOne() {
    const auto slot = static_cast<SpaceSlot>(random() % 3);
    const auto priority = static_cast<uint8_t>(30 + random() % 3);
    const BlockRef block = Add(number++, slot, kNoBlock, priority);
    model[block] = {accounts[slot], priority, ++now, 0, true, false};
  }
  void WriteOne() {
    const BlockRef block = Pick([](const ModelBlock& b) { return b.memory && !b.ssd; });
    if (block == kNoBlock) return;
    const uint32_t bytes = 1 + random() % 300;
    index.AddSsd(block, Copy(bytes));
    model[block].ssd = true;
    model[block].charge = bytes + 256;
  }
  void TouchOne() {
    const BlockRef block = Pick([](const ModelBlock&) { return true; });
    if (block == kNoBlock) return;
    index.TouchChain(std::span(&block, 1));
    model[block].used = ++now;
  }
  void PromoteOne() {
    const BlockRef block = Pick([](const ModelBlock& b) { return !b.memory; });
    if (block == kNoBlock) return;
    index.AddMemory(block, next++);
    model[block].memory = true;
    model[block].used = ++now;
  }
  void Adopt(std::vector<BlockRef>& gone) {
    accounts[3] = kQuota;
    index.AdoptSsd(3, 0, 1000);
    for (auto& [ref, block] : model) {
      if (index.space_of(ref) != 3) continue;
      adopted += !block.memory;
      block.account = kQuota;
    }
    for (BlockRef own; UsedOnSsd(kQuota) > 3 * kRecordBytes; model.erase(own)) {
      gone.push_back(own = ColdestOnSsd(kQuota));
    }
    index.SettleSsdQuotas(1000);
  }
  void Step(std::vector<BlockRef>& gone) {
    const uint64_t action = random() % 100;
    if (action < 35 && model.size() < 60) return AddOne();
    if (action < 60) return WriteOne();
    if (action < 70) return TouchOne();
    if (action < 75) return PromoteOne();
    if (action < 90) {
      EvictFromMemory(gone);
      index.EvictColdest();
    } else if (now > 500 && adopted == 0) {
      Adopt(gone);
    } else {
      const auto account = static_cast<AccountRef>(random() % 3);
      EvictFromSsd(account, gone);
      reserve_kept += gone.empty() && ColdestOnSsd(kReserve) != kNoBlock;
      // Copies that memory keeps would go instead, of which the model knows nothing.
      if (!gone.empty()) index.EvictColdestSsd({.account = account});
    }
  }

  Model model;
  uint64_t now = 0, number = 1;
  uint64_t quota_evictions = 0, no_room = 0, reserve_kept = 0, adopted = 0;
  std::mt19937_64 random{20261127};
};

TEST_F(RandomEvictTest, AgreesWithANaiveModel) {
  for (; number <= 20; ++number) {
    model[Restore(number, 3)] = {kSharedAccount, kPriorityDefault, ++now, kRecordBytes, false,
                                 true};
  }
  for (int step = 0; step < 20'000; ++step) {
    removed.clear();
    std::vector<BlockRef> gone, went;
    Step(gone);
    for (const Removed& each : removed) {
      if (!each.stays) went.push_back(each.block);
    }
    ASSERT_EQ(went, gone) << "step " << step;
    for (AccountRef account = 0; account <= kReserve; ++account) {
      ASSERT_EQ(index.ssd_used_bytes(account), UsedOnSsd(account)) << "step " << step;
    }
    ASSERT_LE(index.ssd_used_bytes(kQuota), 3 * kRecordBytes) << "step " << step;
  }
  EXPECT_GT(quota_evictions, 100u);
  EXPECT_GT(no_room, 5u);
  EXPECT_GT(reserve_kept, 20u);
  EXPECT_GT(adopted, 0u);
}

class RandomChainsTest : public BlockIndexEvictTest {
 protected:
  BlockRef Any(bool in_memory) {
    std::vector<BlockRef> found;
    for (const auto& [block, parent] : parents) {
      if (index.live(block) && index.in_memory(block) == in_memory) found.push_back(block);
    }
    return found.empty() ? kNoBlock : found[random() % found.size()];
  }
  void AddOne(BlockRef block) {
    const bool child = block != kNoBlock && random() % 3 != 0;
    const auto slot = child ? index.space_of(block) : static_cast<SpaceSlot>(random() % 3);
    const BlockRef parent = child ? block : kNoBlock;
    parents[Add(number++, slot, parent, static_cast<uint8_t>(30 + random() % 4))] = parent;
  }
  // Of what a step removed, and for whose need on SSD.
  void Check(const SsdNeed* need) {
    for (const Removed& each : removed) {
      if (each.stays) continue;
      ASSERT_FALSE(pins.contains(each.block));
      parents.erase(each.block);
      for (const auto& [block, parent] : parents) ASSERT_NE(parent, each.block);
      ++checked;
      // Doomed ancestors go with a block, and nobody's need is why.
      const bool pressed = need != nullptr && removed.size() == 1;
      const bool others = pressed && accounts[each.space] != need->account;
      if (others && !each.residency.in_memory() && accounts[each.space] == kReserve) {
        ASSERT_GE(index.ssd_used_bytes(kReserve), 3 * kRecordBytes);
        ++beside_reserve;
      }
    }
    removed.clear();
    uint64_t used[3] = {};
    for (const auto& [block, parent] : parents) {
      if (index.in_memory(block) || !index.on_ssd(block)) continue;
      used[accounts[index.space_of(block)]] += index.ssd_of(block).location.frame_bytes + 256;
    }
    for (AccountRef of = 0; of <= kReserve; ++of) ASSERT_EQ(index.ssd_used_bytes(of), used[of]);
    ASSERT_LE(used[kQuota], 3 * kRecordBytes);
  }
  void Step() {
    const uint64_t action = random() % 100;
    const BlockRef block = Any(action % 3 != 0);
    if (action < 30) {
      if (parents.size() < 80) AddOne(block);
    } else if (action >= 92) {
      const SsdNeed need = {.account = static_cast<AccountRef>(random() % 3), .priority = 40};
      index.EvictColdestSsd(need);
      Check(&need);
    } else if (action >= 90) {
      index.Advance(1, 10);
    } else if (action >= 74) {
      index.EvictColdest();
    } else if (action >= 60 && action < 68) {
      if (pins.empty()) return;
      const BlockRef pinned = *std::next(pins.begin(), random() % pins.size());
      pins.erase(pins.find(pinned));
      index.Unpin(pinned);
    } else if (block == kNoBlock) {
      return;
    } else if (action < 50) {
      if (index.WantsSsd(block)) index.AddSsd(block, Copy());
    } else if (action < 60) {
      if (pins.size() >= 6) return;
      index.Pin(block);
      pins.insert(block);
    } else if (action < 70) {
      if (index.pins_of(block) == 0) index.Doom(block, MissReason::kEvicted);
    } else {
      if (!index.in_memory(block)) index.AddMemory(block, next++);
    }
  }

  std::mt19937_64 random{7};
  std::multiset<BlockRef> pins;
  std::map<BlockRef, BlockRef> parents;
  uint64_t number = 1, checked = 0, beside_reserve = 0;
};

// What may never go does not, nobody is over a quota, and nothing is stuck at the end.
TEST_F(RandomChainsTest, ChainsAndPinsAreKeptAndNothingIsStuck) {
  for (int step = 0; step < 30'000; ++step) {
    ASSERT_NO_FATAL_FAILURE(Step()) << "step " << step;
    ASSERT_NO_FATAL_FAILURE(Check(nullptr)) << "step " << step;
  }
  EXPECT_GT(checked, 3'000u);
  EXPECT_GT(beside_reserve, 10u);
  for (const BlockRef block : pins) index.Unpin(block);
  while (index.EvictColdest() || index.EvictColdestSsd({.of_disk = true})) {
  }
  EXPECT_EQ(index.size(), 0u);
  EXPECT_EQ(index.ssd_bytes(), 0u);
}

}  // namespace
}  // namespace larder::server
