#include "server/store/ssd_reads.h"

#include <optional>

#include "tests/unit/server/store/tiers_fixture.h"

namespace larder::server {
namespace {

class SsdReadsTest : public TiersTest {
 protected:
  void SetUp() override {
    PutWritten(1, 2 * kBlocks);
    ASSERT_TRUE(OnSsdAlone(1));
    ASSERT_TRUE(OnSsdAlone(2));
  }
  std::string KeyOf(uint64_t number) {
    for (const SsdEntry& entry : ssd.Entries()) {
      const auto frame = disk().records.at(entry.record.key).second;
      FrameHeader header;
      std::memcpy(&header, frame.data(), sizeof(header));
      if (PrefixHash{header.prefix_hash_bytes, header.prefix_hash} == HashOf(number)) {
        return entry.record.key;
      }
    }
    return "";
  }
  MissReason Miss(uint64_t number) {
    MissReason reason = MissReason::kNone;
    EXPECT_TRUE(GetFrame(number, &reason).empty());
    return reason;
  }
};

TEST_F(SsdReadsTest, ConcurrentReadsOfOneBlockAreOne) {
  ssd.HoldReads(true);
  const uint64_t before = ssd.reads();
  int answers = 0;
  std::vector<FetchSession> sessions;
  sessions.reserve(3);
  for (int i = 0; i < 3; ++i) {
    sessions.push_back(store.OpenFetch(*space, {HashOf(1)}, {}));
    sessions.back().Next([&](FetchAnswer answer) {
      answers += std::holds_alternative<PinnedFrame>(answer);
    });
  }
  EXPECT_EQ(answers, 0);
  EXPECT_EQ(ssd.reads(), before + 1);
  ssd.Release();
  EXPECT_EQ(answers, 3);
}

TEST_F(SsdReadsTest, AGetReadsAheadAndAnswersInOrder) {
  ssd.HoldReads(true);
  FetchSession session = store.OpenFetch(*space, Hashes(1, 4), {});
  std::vector<uint64_t> order;
  std::function<void(FetchAnswer)> take = [&](FetchAnswer answer) {
    const PinnedFrame& frame = std::get<PinnedFrame>(answer);
    FrameHeader header;
    std::memcpy(&header, frame.spans[0].data(), sizeof(header));
    uint64_t number = 0;
    std::memcpy(&number, header.prefix_hash.data(), sizeof(number));
    order.push_back(number);
    if (session.left() > 0) session.Next(take);
  };
  session.Next(take);
  EXPECT_EQ(ssd.held(), 4u);
  ssd.Release();
  EXPECT_EQ(order, (std::vector<uint64_t>{1, 2, 3, 4}));
}

TEST_F(SsdReadsTest, ADamagedCopyIsQuarantined) {
  ssd.FailReads(absl::DataLossError("checksum"));
  EXPECT_EQ(Miss(1), MissReason::kQuarantined);
  ssd.FailReads(absl::OkStatus());
  EXPECT_EQ(Miss(1), MissReason::kQuarantined);
  ASSERT_EQ(store.quarantine().total(), 1u);
  EXPECT_EQ(store.quarantine().All()[0].tier, TierKind::kSsd);
  EXPECT_EQ(store.quarantine().All()[0].hash, HashOf(1));
  EXPECT_EQ(Put(1), PutOutcome::kStored);  // a new put takes its place
  EXPECT_EQ(GetFrame(1), FrameOf(*space, 1, 0, 1));
}

TEST_F(SsdReadsTest, AnotherBlocksFrameIsNeverReturned) {
  ssd.Swap(KeyOf(1), KeyOf(2));
  EXPECT_EQ(Miss(1), MissReason::kQuarantined);
  EXPECT_EQ(store.quarantine().total(), 1u);
}

TEST_F(SsdReadsTest, AFailingDeviceIsAMissForNow) {
  ssd.FailReads(absl::UnavailableError("offline"));
  EXPECT_EQ(Miss(1), MissReason::kBusy);
  ssd.FailReads(absl::ResourceExhaustedError("staging"));
  EXPECT_EQ(Miss(1), MissReason::kBusy);
  ssd.FailReads(absl::OkStatus());
  EXPECT_EQ(GetFrame(1), FrameOf(*space, 1, 0, 1));
}

TEST_F(SsdReadsTest, ARecordThatMovesMeanwhileIsReadWhereItIs) {
  ssd.HoldReads(true);
  std::optional<FetchAnswer> answer;
  FetchSession session = store.OpenFetch(*space, {HashOf(1)}, {});
  session.Next([&](FetchAnswer found) { answer = std::move(found); });
  const std::string key = KeyOf(1);
  SsdEntry entry = *ssd.Find(key).value();
  const SsdEntry before = entry;
  const SsdLocation to = ssd.Move(key);
  EXPECT_EQ(owner->Keep(std::span(&before, 1)), std::vector<bool>{true});
  EXPECT_TRUE(owner->Moved(before, to));
  ssd.Release();
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(std::holds_alternative<PinnedFrame>(*answer));
}

TEST_F(SsdReadsTest, TheTierIsToldWhatIsNotWanted) {
  const std::string key = KeyOf(1);
  SsdEntry elsewhere = *ssd.Find(key).value();
  elsewhere.location.offset += 1000;
  EXPECT_EQ(owner->Keep(std::span(&elsewhere, 1)), std::vector<bool>{false});
  EXPECT_FALSE(owner->Moved(elsewhere, elsewhere.location));
  EXPECT_EQ(Resident(1, 1), 1u);  // its copy is where it was
}

TEST_F(SsdReadsTest, TheScrubbersFindingIsAMiss) {
  const std::string key = KeyOf(2 * kBlocks);  // the last one, in memory too
  owner->Damaged(*ssd.Find(key).value(), absl::DataLossError("scrub"));
  EXPECT_EQ(GetFrame(2 * kBlocks), FrameOf(*space, 2 * kBlocks, 0, 2 * kBlocks));
  owner->Damaged(*ssd.Find(KeyOf(1)).value(), absl::DataLossError("scrub"));
  EXPECT_EQ(Miss(1), MissReason::kQuarantined);
  EXPECT_EQ(store.quarantine().total(), 2u);
}

TEST_F(SsdReadsTest, WhatTakesLongerThanThereIsTimeIsAnEarlyMiss) {
  const FetchAnswer answer = FetchNow(1, {.deadline = clock.Now() + std::chrono::milliseconds(1)});
  EXPECT_EQ(std::get<MissReason>(answer), MissReason::kOverDeadline);
}

TEST_F(SsdReadsTest, AHeldReadThatIsLateIsOverDeadline) {
  ssd.HoldReads(true);
  std::optional<FetchAnswer> answer;
  FetchSession session =
      store.OpenFetch(*space, {HashOf(1)}, {.deadline = clock.Now() + std::chrono::seconds(1)});
  session.Next([&](FetchAnswer found) { answer = std::move(found); });
  clock.Advance(std::chrono::seconds(2));
  ssd.FailReads(absl::DeadlineExceededError("late"));
  ssd.Release();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(std::get<MissReason>(*answer), MissReason::kOverDeadline);
}

}  // namespace
}  // namespace larder::server
