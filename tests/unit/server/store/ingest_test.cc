#include "server/store/ingest.h"

#include <random>

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

class IngestTest : public StoreFixture {
 protected:
  // Overwrites a header field and seals the header region again, so that only that field is wrong.
  Bytes Altered(Bytes frame, const std::function<void(FrameHeader&)>& alter) {
    FrameHeader header;
    std::memcpy(&header, frame.data(), sizeof(header));
    const uint32_t region = header.header_bytes;
    alter(header);
    header.root = {};
    std::memcpy(frame.data(), &header, sizeof(header));
    header.root = ChecksumOf(std::span(frame).first(region));
    std::memcpy(frame.data(), &header, sizeof(header));
    return frame;
  }
};

TEST_F(IngestTest, StoresAFrameCutAnywhere) {
  std::mt19937_64 random(5);
  for (uint64_t number = 1; number <= 6; ++number) {
    const Bytes frame = FrameOf(*space, number, 0, number);
    ASSERT_EQ(PutFrame(frame, {}, 1 + random() % 700).outcome, PutOutcome::kStored);
    EXPECT_EQ(GetFrame(number), frame);
  }
}

TEST_F(IngestTest, NothingIsVisibleBeforeTheLastByte) {
  const Bytes frame = FrameOf(*space, 1, 0, 1);
  IngestSession session = store.OpenIngest(*space, 1);
  ASSERT_TRUE(session.Begin(0, frame.size(), {}).ok());
  ASSERT_TRUE(session.Write(0, std::span(frame).first(frame.size() - 1)).ok());
  EXPECT_EQ(Resident(1, 1), 0u);
  ASSERT_TRUE(session.Write(0, std::span(frame).last(1)).ok());
  EXPECT_EQ(Resident(1, 1), 1u);
}

TEST_F(IngestTest, ASessionThatEndsEarlyLeavesNothing) {
  const Bytes frame = FrameOf(*space, 1, 0, 1);
  for (size_t received : {size_t{0}, size_t{100}, size_t{400}, size_t{3000}, frame.size() - 1}) {
    IngestSession session = store.OpenIngest(*space, 1);
    ASSERT_TRUE(session.Begin(0, frame.size(), {}).ok());
    ASSERT_TRUE(session.Write(0, std::span(frame).first(received)).ok());
    EXPECT_EQ(store.ingest_budget().used() > 0, received >= 384);
    EXPECT_EQ(FinishNow(session)[0].outcome, PutOutcome::kIncomplete);
  }
  EXPECT_EQ(tier.live_slabs(), 0u);
  EXPECT_EQ(store.ingest_budget().used(), 0u);
}

TEST_F(IngestTest, EveryFlippedBitIsRefused) {
  const Bytes frame = FrameOf(*space, 1, 0, 1);
  std::mt19937_64 random(9);
  for (int trial = 0; trial < 2000; ++trial) {
    Bytes damaged = frame;
    const size_t bit = trial < 384 * 8 / 2 ? trial * 2 : random() % (frame.size() * 8);
    damaged[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    ASSERT_NE(PutFrame(damaged).outcome, PutOutcome::kStored) << "bit " << bit;
  }
  EXPECT_EQ(Resident(1, 1), 0u);
  EXPECT_EQ(tier.live_slabs(), 0u);
}

TEST_F(IngestTest, DamagedPayloadIsCorruptAndDamagedHeaderIsSaidSo) {
  Bytes damaged = FrameOf(*space, 1, 0, 1);
  damaged.back() ^= std::byte{1};  // padding
  EXPECT_EQ(PutFrame(damaged).outcome, PutOutcome::kInvalid);
  damaged = FrameOf(*space, 1, 0, 1);
  damaged[1000] ^= std::byte{1};
  EXPECT_EQ(PutFrame(damaged).outcome, PutOutcome::kCorrupt);
  damaged = FrameOf(*space, 1, 0, 1);
  damaged[64] ^= std::byte{1};
  EXPECT_EQ(PutFrame(damaged).outcome, PutOutcome::kCorrupt);
}

TEST_F(IngestTest, AFrameOfAnotherSpaceManifestOrShapeIsRefused) {
  const Bytes frame = FrameOf(*space, 1, 0, 1);
  const auto refused = [&](const std::function<void(FrameHeader&)>& alter) {
    const IngestResult result = PutFrame(Altered(frame, alter));
    EXPECT_EQ(result.outcome, PutOutcome::kInvalid) << result.message;
    EXPECT_FALSE(result.message.empty());
  };
  refused([](FrameHeader& h) { h.space_digest[0] ^= 1; });
  refused([](FrameHeader& h) { h.manifest_digest[31] ^= 1; });
  refused([](FrameHeader& h) { h.layer_begin += 1; });
  refused([](FrameHeader& h) { h.dtype = static_cast<uint8_t>(Dtype::kInt8); });
  refused([](FrameHeader& h) { h.version_major = 2; });
  refused([](FrameHeader& h) { h.fidelity = static_cast<uint8_t>(Fidelity::kReduced); });
  EXPECT_EQ(PutFrame(Altered(frame, [](FrameHeader&) {})).outcome, PutOutcome::kStored);
}

TEST_F(IngestTest, ASecondPutIsPresentIfEqualAndRefusedIfNot) {
  ASSERT_EQ(Put(1), PutOutcome::kStored);
  EXPECT_EQ(Put(1), PutOutcome::kAlreadyPresent);
  const IngestResult poisoned = PutFrame(FrameOf(*space, 1, 0, /*content=*/2));
  EXPECT_EQ(poisoned.outcome, PutOutcome::kConflict);
  EXPECT_EQ(GetFrame(1), FrameOf(*space, 1, 0, 1));
  EXPECT_EQ(store.blocks().stats().conflicts, 1u);
}

TEST_F(IngestTest, ABlockWithoutItsParentIsNotAdmitted) {
  EXPECT_EQ(Put(2, /*parent=*/1), PutOutcome::kParentAbsent);
  ASSERT_EQ(Put(1), PutOutcome::kStored);
  EXPECT_EQ(Put(2, 1), PutOutcome::kStored);
}

TEST_F(IngestTest, OneSessionCarriesAChainAndKeepsItsHeadWarm) {
  IngestSession session = store.OpenIngest(*space, 3);
  for (uint32_t i = 0; i < 3; ++i) {
    const Bytes frame = FrameOf(*space, i + 1, i, i + 1);
    ASSERT_TRUE(session.Begin(i, frame.size(), {}).ok());
    ASSERT_TRUE(session.Write(i, frame).ok());
  }
  for (const IngestResult& result : FinishNow(session))
    EXPECT_EQ(result.outcome, PutOutcome::kStored);
  for (uint64_t other = 100; other < 100 + kBlocks - 1; ++other)
    ASSERT_EQ(Put(other), PutOutcome::kStored);
  EXPECT_EQ(Resident(1, 3), 1u);  // the tail went first
}

TEST_F(IngestTest, EvictsForRoomAndSaysSoWhenNothingMayGo) {
  for (uint64_t number = 1; number <= kBlocks + 3; ++number)
    ASSERT_EQ(Put(number), PutOutcome::kStored);
  EXPECT_EQ(store.blocks().stats().blocks, kBlocks);
  EXPECT_EQ(store.blocks().stats().removed[static_cast<int>(RemovalReason::kPressure)], 3u);
  for (uint64_t number = 4; number <= kBlocks + 3; ++number)
    Look(number, number, /*lease_ms=*/1000);
  EXPECT_EQ(Put(50), PutOutcome::kNoRoom);
}

TEST_F(IngestTest, BrokenStreamsAreTypedErrors) {
  const Bytes frame = FrameOf(*space, 1, 0, 1);
  IngestSession session = store.OpenIngest(*space, 2);
  EXPECT_EQ(session.Write(0, frame).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Begin(2, frame.size(), {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Begin(0, 10, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Begin(0, kFrameBytesMax + 1, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Begin(1, frame.size(), {}).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(session.Begin(0, frame.size(), {}).ok());
  EXPECT_EQ(session.Begin(1, frame.size(), {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Write(1, frame).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(session.Write(0, frame).ok());
  EXPECT_EQ(session.Write(0, frame).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Begin(0, frame.size(), {}).code(), absl::StatusCode::kInvalidArgument);
  const auto results = FinishNow(session);
  EXPECT_EQ(results[0].outcome, PutOutcome::kStored);
  EXPECT_EQ(results[1].outcome, PutOutcome::kIncomplete);
}

TEST_F(IngestTest, AWrongSizeAnnouncementIsRefusedAndTheRestSkipped) {
  Bytes frame = FrameOf(*space, 1, 0, 1);
  frame.resize(frame.size() + 64);
  EXPECT_EQ(PutFrame(frame).outcome, PutOutcome::kInvalid);
  EXPECT_EQ(tier.live_slabs(), 0u);
}

class IngestBudgetTest : public StoreFixture {
 protected:
  IngestBudgetTest()
      : StoreFixture([] {
          Config c;
          c.ingest_bytes_max = 6000;
          return c;
        }()) {}
};

TEST_F(IngestBudgetTest, BytesInFlightAreBounded) {
  const Bytes frame = FrameOf(*space, 1, 0, 1);
  IngestSession slow = store.OpenIngest(*space, 1);
  ASSERT_TRUE(slow.Begin(0, frame.size(), {}).ok());
  ASSERT_TRUE(slow.Write(0, std::span(frame).first(1000)).ok());
  EXPECT_EQ(Put(2), PutOutcome::kNoRoom);
  ASSERT_TRUE(slow.Write(0, std::span(frame).subspan(1000)).ok());
  EXPECT_EQ(Put(2), PutOutcome::kStored);
}

}  // namespace
}  // namespace larder::server
