// The parts of the SSD tier that decide without I/O.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/ssd/catalog_entry.h"
#include "server/ssd/io_schedule.h"
#include "server/ssd/segment_table.h"
#include "server/ssd/staging_pool.h"
#include "server/ssd/write_budget.h"
#include "tests/fakes/manual_clock.h"
#include "tests/unit/server/ssd/ssd_fixture.h"

namespace larder::server {
namespace {

using larder::testing::MakeBlock;

constexpr uint64_t kSegment = 1 << 20;
constexpr uint64_t kSeed = 42;

StoredRecord SampleRecord() {
  return {.entry = {.record = MakeBlock(7).record,
                    .location = {.segment = 3, .generation = 9, .offset = 64, .frame_bytes = 1000}},
          .sequence = 77};
}

TEST(SegmentFormatTest, ARecordHeaderReturnsAsItWasAndNoBitOfItMayChange) {
  const StoredRecord record = SampleRecord();
  RecordHeader header = EncodeRecord(record.entry, record.sequence, kSeed);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(&header, 1));
  const auto decoded = DecodeRecord(bytes, kSeed);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->entry, record.entry);
  EXPECT_EQ(decoded->sequence, record.sequence);
  EXPECT_FALSE(DecodeRecord(bytes, kSeed + 1).has_value());
  EXPECT_FALSE(DecodeRecord(bytes.first(bytes.size() - 1), kSeed).has_value());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(DecodeRecord(bytes, kSeed).has_value()) << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

// The worked example of FORMAT.md.
TEST(SegmentFormatTest, ARecordHeaderStandsAsTheDocumentSays) {
  SsdEntry entry;
  entry.record = {
      .key = "k", .parent = "", .codec = 0x0102, .fidelity = 4, .priority = 35, .origin_tag = 16};
  entry.location = {.segment = 1, .generation = 2, .offset = 64, .frame_bytes = 576};
  const RecordHeader header = EncodeRecord(entry, 5, /*seed=*/0);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  const std::vector<uint8_t> begin(bytes, bytes + 40);
  EXPECT_THAT(begin, ::testing::ElementsAre(0x4C, 0x44, 0x53, 0x52, 1, 0, 1, 0, 1, 0, 0, 0, 2, 0, 0,
                                            0, 64, 0, 0, 0, 0x40, 2, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
                                            0x02, 0x01, 4, 35, 16, 0, 0, 0));
  EXPECT_EQ(bytes[72], 'k');
}

TEST(CatalogEntryTest, AnEntryReturnsAsItWasAndNoBitOfItMayChange) {
  const StoredRecord record = SampleRecord();
  const std::string& key = record.entry.record.key;
  std::string value = EncodeCatalogEntry(record, kSeed);
  const auto decoded = DecodeCatalogEntry(key, value, kSeed);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->entry, record.entry);
  EXPECT_EQ(decoded->sequence, record.sequence);
  EXPECT_FALSE(DecodeCatalogEntry("another key", value, kSeed).has_value());
  EXPECT_FALSE(DecodeCatalogEntry(key, value, kSeed + 1).has_value());
  EXPECT_FALSE(DecodeCatalogEntry(key, std::string_view(value).substr(1), kSeed).has_value());
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeCatalogEntry(key, value, kSeed).has_value()) << bit;
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
  }
}

SsdLocation At(const SegmentTable::Opened& segment, uint32_t offset = 64) {
  return {segment.segment, segment.generation, offset, 1000};
}

TEST(SegmentTableTest, KeepsTheLastFreeSegmentForMoves) {
  SegmentTable table(kSegment);
  for (int i = 0; i < 2; ++i) table.Add(0, 0, 0);
  ASSERT_TRUE(table.Open(0, /*reserve=*/false).has_value());
  EXPECT_FALSE(table.Open(0, /*reserve=*/false).has_value());
  EXPECT_TRUE(table.Open(0, /*reserve=*/true).has_value());
  EXPECT_FALSE(table.Open(0, /*reserve=*/true).has_value());
}

TEST(SegmentTableTest, ReclaimsTheEmptiestAndTheOldestOfEqualOnes) {
  SegmentTable table(kSegment);
  for (uint32_t generation : {5u, 3u, 4u}) table.Add(0, generation, kSegment);
  table.AddLive({.segment = 1, .generation = 3, .offset = 64, .frame_bytes = 1000});
  EXPECT_EQ(table.Victim()->generation, 4u);
  EXPECT_EQ(table.Victim()->generation, 5u);
  EXPECT_EQ(table.Victim()->generation, 3u);
  EXPECT_FALSE(table.Victim().has_value());
}

TEST(SegmentTableTest, FreesASegmentWithItsLastReaderAndNeverUsesAGenerationTwice) {
  SegmentTable table(kSegment);
  table.Add(0, 8, kSegment);
  const SsdLocation location = {.segment = 0, .generation = 8, .offset = 64, .frame_bytes = 1000};
  ASSERT_TRUE(table.Pin(location));
  const auto victim = table.Victim();
  table.Retire(victim->segment);
  EXPECT_EQ(table.free_segments(), 0u);
  EXPECT_FALSE(table.Pin(location));
  table.Unpin(0);
  EXPECT_EQ(table.free_segments(), 1u);
  const auto opened = table.Open(0, /*reserve=*/true);
  EXPECT_EQ(opened->generation, 9u);
  EXPECT_FALSE(table.Pin(location));
  EXPECT_TRUE(table.Pin(At(*opened)));
}

TEST(SegmentTableTest, AnUnfinishedAppendKeepsItsSegment) {
  SegmentTable table(kSegment);
  table.Add(0, 0, 0);
  const auto opened = table.Open(0, /*reserve=*/true);
  table.BeginAppend(opened->segment);
  table.Seal(opened->segment, kSegment);
  EXPECT_FALSE(table.Victim().has_value());
  table.EndAppend(opened->segment);
  EXPECT_TRUE(table.Victim().has_value());
}

TEST(SegmentTableTest, RefusesLocationsOutsideOfTheSegment) {
  SegmentTable table(kSegment);
  table.Add(0, 1, kSegment);
  EXPECT_TRUE(table.IsCurrent({0, 1, 64, 1000}));
  EXPECT_FALSE(table.IsCurrent({0, 1, 0, 1000}));  // the segment's header
  EXPECT_FALSE(table.IsCurrent({0, 1, 64, 0}));
  EXPECT_FALSE(table.IsCurrent({0, 1, 64, kSegment}));
  EXPECT_FALSE(table.IsCurrent({0, 1, UINT32_MAX, 1000}));
  EXPECT_FALSE(table.IsCurrent({1, 1, 64, 1000}));
  EXPECT_FALSE(table.IsCurrent({1u << 24, 1, 64, 1000}));
  EXPECT_FALSE(table.IsCurrent({0, 0, 64, 1000}));
}

TEST(StagingPoolTest, GivesOutAllItHasAndJoinsWhatComesBack) {
  alignas(kIoAlignment) static std::array<std::byte, 8 * kIoAlignment> memory;
  StagingPool pool(memory);
  std::vector<std::span<std::byte>> pieces;
  for (int i = 0; i < 8; ++i) pieces.push_back(pool.Take(1));
  EXPECT_TRUE(pool.Take(1).empty());
  EXPECT_EQ(pool.used_bytes(), memory.size());
  for (const int i : {1, 3, 2, 0, 7, 5, 4, 6}) pool.Give(pieces[static_cast<size_t>(i)]);
  EXPECT_EQ(pool.used_bytes(), 0u);
  EXPECT_EQ(pool.Take(memory.size()).size(), memory.size());
}

TEST(IoScheduleTest, ReadsGoFirstAndWritesDoNotStarve) {
  IoSchedule schedule(4);
  for (int i = 0; i < 8; ++i) schedule.Push(IoOperation::Write(0, {}, {}));
  for (int i = 0; i < 8; ++i) schedule.Push(IoOperation::Read(0, {}, {}));
  int reads = 0;
  int writes = 0;
  while (const auto operation = schedule.Pop()) {
    ++(operation->kind == IoOperation::Kind::kRead ? reads : writes);
  }
  EXPECT_EQ(reads, 3);
  EXPECT_EQ(writes, 1);
}

TEST(WriteBudgetTest, CountsADayAndForgetsTheDayBefore) {
  ManualClock clock;
  WriteBudget budget(clock, 100);
  budget.Restore(budget.Today().day, 30);
  budget.Restore(budget.Today().day - 1, 30);
  budget.Report(50);
  EXPECT_EQ(budget.Today().left, 20u);
  budget.Report(90);
  EXPECT_EQ(budget.Today().left, 0u);
  clock.Advance(std::chrono::hours(24));
  EXPECT_EQ(budget.Today().bytes, 0u);
  budget.Report(95);
  EXPECT_EQ(budget.Today().left, 95u);
}

}  // namespace
}  // namespace larder::server
