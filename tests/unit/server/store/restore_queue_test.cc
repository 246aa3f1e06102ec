#include "server/store/restore_queue.h"

#include "server/store/ssd_key.h"
#include "tests/unit/server/store/tiers_fixture.h"

namespace larder::server {
namespace {

using RestoreQueueTest = TiersTest;

SsdEntry EntryOf(SpaceId space, uint64_t number) {
  SsdEntry entry;
  entry.record.key = SsdKey{{number, ~number}, space}.Bytes();
  if (number % 100 != 0) entry.record.parent = SsdKey{{number - 1, ~(number - 1)}, space}.Bytes();
  entry.location = {.segment = 1, .generation = 1, .offset = 64, .frame_bytes = 512};
  entry.record.priority = kPriorityDefault;
  return entry;
}

TEST_F(RestoreQueueTest, OffersAllAndNamesWhatWasRefused) {
  constexpr uint64_t kEntries = 10'000;  // several batches, and one that is not full
  RestoreQueue queue(store.blocks());
  for (uint64_t number = 0; number < kEntries; ++number) {
    queue.Add(EntryOf(space->id, number));
    if (number % 1000 != 7) continue;
    SsdEntry foreign = EntryOf(space->id, number);
    foreign.record.key = "no key of this store " + std::to_string(number);
    queue.Add(foreign);
  }
  const auto refused = queue.Finish();
  ASSERT_EQ(refused.size(), kEntries / 1000);
  for (size_t i = 0; i < refused.size(); ++i) {
    EXPECT_EQ(refused[i].first, "no key of this store " + std::to_string(i * 1000 + 7));
  }
  EXPECT_EQ(store.blocks().stats().restored, kEntries);
  store.blocks().EndRestore();
  EXPECT_EQ(store.blocks().stats().ssd_blocks, kEntries);  // no chain lost its head
}

TEST_F(RestoreQueueTest, WhatComesTwiceIsNotRefused) {
  RestoreQueue queue(store.blocks());
  for (int visit = 0; visit < 2; ++visit) {
    for (uint64_t number = 0; number < 3000; ++number) {
      SsdEntry entry = EntryOf(space->id, number);
      entry.location.frame_bytes += static_cast<uint32_t>(visit);
      queue.Add(entry);
    }
  }
  EXPECT_TRUE(queue.Finish().empty());
  EXPECT_EQ(store.blocks().stats().restored, 3000u);
  EXPECT_EQ(space->blocks.load(), 3000u);
  EXPECT_EQ(space->stored_bytes.load(), 3000u * 513u);
}

TEST_F(RestoreQueueTest, EndsWithoutEntries) {
  RestoreQueue unused(store.blocks());
  RestoreQueue queue(store.blocks());
  EXPECT_TRUE(queue.Finish().empty());
}

}  // namespace
}  // namespace larder::server
