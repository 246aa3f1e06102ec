#include "server/store/fingerprint_table.h"

#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace larder::server {
namespace {

struct Harness {
  std::vector<Fingerprint> keys;  // by block
  FingerprintTable table;

  BlockRef Find(const Fingerprint& key) {
    return table.Find(key, [&](BlockRef ref) { return keys[ref] == key; });
  }
  void Insert(const Fingerprint& key, BlockRef ref) {
    if (keys.size() <= ref) keys.resize(ref + 1);
    keys[ref] = key;
    table.Insert(key, ref, [&](BlockRef other) { return keys[other]; });
  }
};

TEST(FingerprintTableTest, AgreesWithAMapOverRandomOperations) {
  constexpr uint64_t kSeed = 7;
  std::mt19937_64 random(kSeed);
  Harness harness;
  std::map<std::pair<uint64_t, uint64_t>, BlockRef> model;
  std::vector<BlockRef> free_refs;
  BlockRef next = 0;
  for (int step = 0; step < 400'000; ++step) {
    // Few segments and tags, so that buckets overflow and tags collide.
    const Fingerprint key{random() % 30'000 << 44, random() % 8};
    const auto found = model.find({key.low, key.high});
    ASSERT_EQ(harness.Find(key), found == model.end() ? kNoBlock : found->second)
        << "seed " << kSeed << " step " << step;
    if (found == model.end() && random() % 3 != 0) {
      BlockRef ref = next;
      if (free_refs.empty()) {
        ++next;
      } else {
        ref = free_refs.back();
        free_refs.pop_back();
      }
      harness.Insert(key, ref);
      model[{key.low, key.high}] = ref;
    } else if (found != model.end()) {
      harness.table.Erase(key, found->second);
      free_refs.push_back(found->second);
      model.erase(found);
    }
    ASSERT_EQ(harness.table.size(), model.size());
  }
  EXPECT_GT(model.size(), 1000u);
}

// Small segments fill up and overflow into one another: probes for absent keys must still end.
TEST(FingerprintTableTest, ProbesEndInSmallCrowdedSegments) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    Harness harness;
    for (BlockRef ref = 0; ref < 60; ++ref) {
      harness.Insert({random(), 1}, ref);  // one segment
      for (int probe = 0; probe < 20; ++probe) ASSERT_EQ(harness.Find({random(), 1}), kNoBlock);
      ASSERT_EQ(harness.Find(harness.keys[ref]), ref);
    }
  }
}

TEST(FingerprintTableTest, GrowsToAMillionAndKeepsEveryKey) {
  std::mt19937_64 random(11);
  Harness harness;
  constexpr BlockRef kBlocks = 1'000'000;
  for (BlockRef ref = 0; ref < kBlocks; ++ref) harness.Insert({random(), random()}, ref);
  for (BlockRef ref = 0; ref < kBlocks; ++ref) ASSERT_EQ(harness.Find(harness.keys[ref]), ref);
  EXPECT_EQ(harness.Find({1, 2}), kNoBlock);
  EXPECT_LE(harness.table.memory_bytes(), kBlocks * size_t{14});
}

TEST(FingerprintTableTest, CandidateFindsTheKeyWithoutComparing) {
  Harness harness;
  harness.Insert({0xAB00'0000'0000'0001u, 5}, 3);
  EXPECT_EQ(harness.table.Candidate({0xAB00'0000'0000'0001u, 5}), 3u);
  EXPECT_EQ(harness.table.Candidate({0xCD00'0000'0000'0001u, 5}), kNoBlock);
}

}  // namespace
}  // namespace larder::server
