#include "server/ssd/ssd_tier.h"

#include <algorithm>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/ssd/ssd_fixture.h"

namespace larder::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(SsdTierTest, ReadsBackWhatWasAppended) {
  const ScratchDirectory directory;
  const auto tier = OpenSsd(SmallSsd(directory));
  for (uint32_t tokens : {1u, 64u, 500u, 3000u}) {
    const TestBlock block = MakeBlock(tokens, tokens);
    const auto location = AppendNow(*tier, block);
    ASSERT_TRUE(location.ok()) << location.status();
    EXPECT_TRUE(Same(ReadNow(*tier, block.record.key, *location), block)) << tokens;
  }
}

TEST(SsdTierTest, FindsAllAgainAfterARestart) {
  const ScratchDirectory directory;
  std::map<std::string, SsdEntry> expected;
  std::vector<TestBlock> blocks;
  for (uint32_t i = 0; i < 200; ++i) blocks.push_back(MakeBlock(i));
  {
    const auto tier = OpenSsd(SmallSsd(directory));
    std::vector<std::future<absl::StatusOr<SsdLocation>>> appends;
    for (const TestBlock& block : blocks) appends.push_back(StartAppend(*tier, block));
    for (size_t i = 0; i < blocks.size(); ++i) {
      const auto location = appends[i].get();
      ASSERT_TRUE(location.ok()) << location.status();
      expected[blocks[i].record.key] = {blocks[i].record, *location};
    }
  }
  std::vector<SsdEntry> found;
  const auto tier = OpenSsd(SmallSsd(directory), &found);
  ASSERT_THAT(found, SizeIs(expected.size()));
  for (const SsdEntry& entry : found) EXPECT_EQ(entry, expected[entry.record.key]);
  for (const TestBlock& block : blocks) {
    EXPECT_TRUE(Same(ReadNow(*tier, block.record.key, expected[block.record.key].location), block));
  }
}

TEST(SsdTierTest, RebuildsALostCatalogFromTheSegments) {
  const ScratchDirectory directory;
  std::map<std::string, SsdEntry> expected;
  {
    const auto tier = OpenSsd(SmallSsd(directory));
    for (uint32_t i = 0; i < 60; ++i) {
      const TestBlock block = MakeBlock(i % 50, 64);  // ten of them twice: the newer one counts
      expected[block.record.key] = {block.record, AppendNow(*tier, block).value()};
    }
  }
  std::filesystem::remove_all(directory.path() / "a" / "catalog");
  std::vector<SsdEntry> found;
  const auto tier = OpenSsd(SmallSsd(directory), &found);
  EXPECT_EQ(tier->usage().catalog_rebuilds, 1u);
  ASSERT_THAT(found, SizeIs(expected.size()));
  for (const SsdEntry& entry : found) EXPECT_EQ(entry, expected[entry.record.key]);
}

TEST(SsdTierTest, ForgetsAnErasedNameAndKeepsANewerOne) {
  const ScratchDirectory directory;
  const TestBlock block = MakeBlock(1);
  const TestBlock other = MakeBlock(2);
  {
    const auto tier = OpenSsd(SmallSsd(directory));
    const SsdLocation first = AppendNow(*tier, block).value();
    const SsdLocation second = AppendNow(*tier, block).value();
    const SsdLocation erased = AppendNow(*tier, other).value();
    tier->Erase(block.record.key, first);  // stale: hits nothing
    tier->Erase(other.record.key, erased);
    ASSERT_TRUE(tier->Flush(Soon()).ok());
    EXPECT_EQ(tier->Find(block.record.key).value()->location, second);
    EXPECT_EQ(tier->Find(other.record.key).value(), std::nullopt);
    EXPECT_EQ(tier->usage().live_records, 1u);
  }
  std::vector<SsdEntry> found;
  OpenSsd(SmallSsd(directory), &found);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].record, block.record);
}

TEST(SsdTierTest, RetainChangesWhatARestartFinds) {
  const ScratchDirectory directory;
  const TestBlock block = MakeBlock(1);
  SsdEntry entry = {block.record, {}};
  {
    const auto tier = OpenSsd(SmallSsd(directory));
    entry.location = AppendNow(*tier, block).value();
    entry.record.priority = 99;
    entry.record.priority_until_ms = 12345;
    tier->Retain(entry.record.key, entry.location, {.priority = 7});
    tier->Retain(entry.record.key, {.segment = 77, .generation = 1}, {.priority = 8});  // elsewhere
    tier->Retain(entry.record.key, entry.location,
                 {.priority = 99,
                  .expires_ms = entry.record.expires_ms,
                  .priority_until_ms = 12345});
  }
  std::vector<SsdEntry> found;
  OpenSsd(SmallSsd(directory), &found);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0], entry);
}

TEST(SsdTierTest, RefusesAnotherKeyAndAStaleLocation) {
  const ScratchDirectory directory;
  const auto tier = OpenSsd(SmallSsd(directory));
  const TestBlock block = MakeBlock(1);
  const SsdLocation location = AppendNow(*tier, block).value();
  EXPECT_TRUE(absl::IsDataLoss(ReadNow(*tier, MakeBlock(2).record.key, location).status()));
  SsdLocation stale = location;
  stale.generation += 1;
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*tier, block.record.key, stale).status()));
  stale = location;
  stale.offset += 1;
  EXPECT_TRUE(absl::IsDataLoss(ReadNow(*tier, block.record.key, stale).status()));
  stale.offset = 1u << 30;
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*tier, block.record.key, stale).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadNow(*tier, block.record.key, {}).status()));
}

TEST(SsdTierTest, ReclaimKeepsWhatIsWantedAndStaysUnderTheBudget) {
  const ScratchDirectory directory;
  TestOwner owner;
  const auto tier = OpenSsd(SmallSsd(directory));
  std::vector<TestBlock> wanted;
  std::map<std::string, SsdLocation> first;
  for (uint32_t i = 0; i < 4; ++i) {
    wanted.push_back(MakeBlock(i, 200));
    owner.Want(wanted.back().record.key);
    first[wanted.back().record.key] = AppendNow(*tier, wanted.back()).value();
  }
  tier->Start(owner);
  uint64_t bytes = 0;
  for (uint32_t i = 100; bytes < (40u << 20); ++i) {
    const TestBlock block = MakeBlock(i, 1000);
    bytes += block.frame.size();
    const auto location = AppendNow(*tier, block);
    ASSERT_TRUE(location.ok()) << location.status();
  }
  EXPECT_GE(tier->usage().segments_reclaimed, 20u);
  EXPECT_FALSE(owner.dropped().empty());
  for (const TestBlock& block : wanted) {
    const std::string& key = block.record.key;
    ASSERT_TRUE(owner.moved().contains(key));
    EXPECT_TRUE(absl::IsNotFound(ReadNow(*tier, key, first[key]).status()));
    EXPECT_TRUE(Same(ReadNow(*tier, key, owner.moved()[key]), block));
    EXPECT_EQ(tier->Find(key).value()->location, owner.moved()[key]);
  }
  uint64_t on_disk = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(directory.path())) {
    if (file.is_regular_file() && file.path().filename() == "segments") on_disk += file.file_size();
  }
  EXPECT_LE(on_disk, 12u << 20);
}

TEST(SsdTierTest, EndsWithinTheDeadlineWhenTheBudgetIsFullOfWantedBlocks) {
  const ScratchDirectory directory;
  const auto tier = OpenSsd(SmallSsd(directory));  // nobody reclaims
  std::vector<TestBlock> blocks;
  for (uint32_t i = 0; i < 50; ++i) blocks.push_back(MakeBlock(i, 3000));
  absl::Status last;
  for (const TestBlock& block : blocks) {
    std::promise<absl::Status> ended;
    const absl::Status status = tier->Append(
        {.record = block.record,
         .frame = {block.frame},
         .deadline = Soon(std::chrono::milliseconds(100)),
         .urgent = true},
        [&](absl::StatusOr<SsdLocation> location) { ended.set_value(location.status()); });
    last = status.ok() ? ended.get_future().get() : status;
    if (!last.ok()) break;
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(last)) << last;
}

TEST(SsdTierTest, ADirectoryHasOneServer) {
  const ScratchDirectory directory;
  const auto tier = OpenSsd(SmallSsd(directory));
  EXPECT_TRUE(absl::IsFailedPrecondition(SsdTier::Open(SmallSsd(directory), TestClock()).status()));
}

TEST(SsdTierTest, SpreadsOverSeveralDirectories) {
  const ScratchDirectory directory;
  server::SsdOptions options = SmallSsd(directory);
  options.directories = {directory / "a", directory / "b"};
  options.budget_bytes = 24 << 20;
  std::vector<TestBlock> blocks;
  std::set<uint32_t> devices;
  for (uint32_t i = 0; i < 40; ++i) blocks.push_back(MakeBlock(i, 1000));
  {
    const auto tier = OpenSsd(options);
    for (const TestBlock& block : blocks) {
      devices.insert(AppendNow(*tier, block).value().segment >> 24);
    }
  }
  EXPECT_THAT(devices, SizeIs(2));
  std::vector<SsdEntry> found;
  std::swap(options.directories[0], options.directories[1]);  // the order does not matter
  const auto tier = OpenSsd(options, &found);
  ASSERT_THAT(found, SizeIs(blocks.size()));
  for (const SsdEntry& entry : found) {
    EXPECT_TRUE(ReadNow(*tier, entry.record.key, entry.location).ok());
  }
  EXPECT_EQ(tier->home(), directory / "a");  // nor for where the whole tier's things lie
}

TEST(SsdTierTest, AMissingDirectoryForgetsNothing) {
  const ScratchDirectory directory;
  server::SsdOptions both = SmallSsd(directory);
  both.directories = {directory / "a", directory / "b"};
  both.budget_bytes = 24 << 20;
  std::vector<TestBlock> blocks;
  {
    const auto tier = OpenSsd(both);
    for (uint32_t i = 0; i < 40; ++i) {
      blocks.push_back(MakeBlock(i, 1000));
      ASSERT_TRUE(AppendNow(*tier, blocks.back()).ok());
    }
  }
  for (const std::string& alone : both.directories) {
    server::SsdOptions one = both;
    one.directories = {alone};
    EXPECT_TRUE(absl::IsFailedPrecondition(SsdTier::Open(one, TestClock()).status())) << alone;
  }
  std::vector<SsdEntry> found;
  OpenSsd(both, &found);
  EXPECT_THAT(found, SizeIs(blocks.size()));
  // An operator's way on when one is gone for good.
  std::filesystem::remove_all(directory / "a/catalog");
  server::SsdOptions first = both;
  first.directories = {both.directories[0]};
  found.clear();
  OpenSsd(first, &found);
  EXPECT_GT(found.size(), 0u);
  EXPECT_LT(found.size(), blocks.size());
}

TEST(SsdTierTest, RefusesWhatCanNotBeStored) {
  const ScratchDirectory directory;
  const auto tier = OpenSsd(SmallSsd(directory));
  TestBlock block = MakeBlock(1);
  const auto refusal = [&] { return AppendNow(*tier, block).status(); };
  block.record.key = "";
  EXPECT_TRUE(absl::IsInvalidArgument(refusal()));
  block.record.key = std::string(server::kSsdKeyBytesMax + 1, 'k');
  EXPECT_TRUE(absl::IsInvalidArgument(refusal()));
  block = MakeBlock(1, 5000);  // larger than a segment
  EXPECT_TRUE(absl::IsInvalidArgument(refusal()));
}

TEST(SsdTierTest, TheDaysWriteBudgetHoldsOverARestart) {
  const ScratchDirectory directory;
  server::SsdOptions options = SmallSsd(directory);
  options.write_bytes_per_day = 2 << 20;
  TestOwner owner;
  absl::Status last;
  {
    const auto tier = OpenSsd(options);
    tier->Start(owner);
    for (uint32_t i = 0; i < 200 && last.ok(); ++i) {
      last = AppendNow(*tier, MakeBlock(i, 500)).status();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_TRUE(absl::IsResourceExhausted(last)) << last;
    EXPECT_GE(tier->usage().bytes_written_today, 2u << 20);
    EXPECT_EQ(tier->usage().write_budget_left, 0u);
    tier->Erase("nothing", {});  // the next batch carries the figure
    ASSERT_TRUE(tier->Flush(Soon()).ok());
  }
  const auto tier = OpenSsd(options);
  EXPECT_GE(tier->usage().bytes_written_today, 2u << 20);
}

TEST(SsdTierTest, TheScrubberFindsDamage) {
  const ScratchDirectory directory;
  server::SsdOptions options = SmallSsd(directory);
  const TestBlock good = MakeBlock(1, 100);
  const TestBlock bad = MakeBlock(2, 100);
  {
    const auto tier = OpenSsd(options);
    ASSERT_TRUE(AppendNow(*tier, good).ok());
    const SsdLocation location = AppendNow(*tier, bad).value();
    const uint64_t at = (1 << 20) + (location.segment & 0xFFFFFF) * (1ull << 20) +
                        location.offset * server::kSsdUnitBytes + 5000;
    std::fstream file(directory / "a/segments", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(~static_cast<int>(bad.frame[5000 - 192])));
  }
  options.scrub_bytes_per_second = 100 << 20;
  TestOwner owner;
  const auto tier = OpenSsd(options);
  tier->Start(owner);
  for (int i = 0; i < 500 && tier->usage().scrub_passes == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_THAT(owner.damaged(), ::testing::ElementsAre(bad.record.key));
  ASSERT_TRUE(tier->Flush(Soon()).ok());
  EXPECT_EQ(tier->Find(bad.record.key).value(), std::nullopt);
  EXPECT_NE(tier->Find(good.record.key).value(), std::nullopt);
}

}  // namespace
}  // namespace larder::testing
