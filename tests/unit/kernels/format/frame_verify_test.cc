#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "kernels/format/frame.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder {
namespace {

using testing::Bytes;
using testing::RandomUpTo;
using testing::SmallFrame;

FrameView ParseValid(const Bytes& frame) {
  FrameView view;
  EXPECT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
  return view;
}

std::span<const std::byte> PayloadOf(const Bytes& frame, const FrameView& view) {
  return std::span<const std::byte>(frame).subspan(view.header().header_bytes);
}

// Feeds `payload` in random pieces, empty ones included.
FrameFault VerifyInPieces(const FrameView& view, std::span<const std::byte> payload,
                          uint64_t piece_bytes_max, std::mt19937_64& random) {
  FrameVerifier verifier(view);
  while (!payload.empty()) {
    const size_t taken = std::min<uint64_t>(RandomUpTo(random, piece_bytes_max), payload.size());
    const FrameFault fault = verifier.Update(payload.first(taken));
    if (fault != FrameFault::kNone) return fault;
    payload = payload.subspan(taken);
  }
  return verifier.Finish();
}

TEST(ChecksumTest, IsXxh3Of128Bits) {
  // The published value for no input with seed 0; xxhsum -H128 prints the high half first.
  const Checksum128 empty = ChecksumOf({});
  EXPECT_EQ(empty.high, 0x99aa06d3014798d8u);
  EXPECT_EQ(empty.low, 0x6001c324468d497fu);
}

TEST(FrameVerifierTest, AcceptsAnyCut) {
  std::mt19937_64 random(51);
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE("seed 51, round " + std::to_string(round));
    const Bytes frame = testing::RandomFrame(random);
    const FrameView view = ParseValid(frame);
    const auto payload = PayloadOf(frame, view);
    ASSERT_EQ(VerifyInPieces(view, payload, payload.size(), random), FrameFault::kNone);
    ASSERT_EQ(VerifyInPieces(view, payload, 3, random), FrameFault::kNone);
  }
}

TEST(FrameVerifierTest, AcceptsALargeStreamInWireChunks) {
  std::mt19937_64 random(52);
  KvShape shape;
  shape.kind = GroupKind::kState;
  shape.layers = 2;
  shape.unit_bytes = 3'000'001;
  const Bytes raw(RawBytes(shape).value(), std::byte{0x3C});
  Bytes frame = testing::MakeFrame(testing::RandomIdentity(random), shape, raw);
  const FrameView view = ParseValid(frame);
  EXPECT_EQ(VerifyInPieces(view, PayloadOf(frame, view), 1 << 20, random), FrameFault::kNone);
  frame[frame.size() / 2] ^= std::byte{4};
  EXPECT_EQ(VerifyInPieces(view, PayloadOf(frame, view), 1 << 20, random),
            FrameFault::kStreamMismatch);
}

TEST(FrameVerifierTest, DetectsEveryBitFlipInTheFrame) {
  Bytes frame = SmallFrame();
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_NE(testing::ParseAndVerify(frame), FrameFault::kNone) << "bit " << bit;
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  EXPECT_EQ(testing::ParseAndVerify(frame), FrameFault::kNone);
}

TEST(FrameVerifierTest, DetectsEveryTruncation) {
  const Bytes frame = SmallFrame();
  for (size_t size = 0; size < frame.size(); ++size) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
    ASSERT_EQ(testing::ParseAndVerify(cut), FrameFault::kTooShort) << size;
  }
}

TEST(FrameVerifierTest, RefusesBytesPastTheEnd) {
  Bytes frame = SmallFrame();
  frame.push_back(std::byte{0});
  EXPECT_EQ(testing::ParseAndVerify(frame), FrameFault::kTooLong);
}

TEST(FrameVerifierTest, RefusesPaddingThatIsSet) {
  Bytes frame = SmallFrame();
  frame.back() = std::byte{1};
  EXPECT_EQ(testing::ParseAndVerify(frame), FrameFault::kReservedSet);
}

TEST(FrameVerifierTest, RefusesExchangedStreams) {
  std::mt19937_64 random(53);
  KvShape shape;
  shape.kind = GroupKind::kOpaque;
  shape.layers = 2;
  shape.unit_bytes = 64;
  shape.tokens = 1;
  Bytes frame = testing::MakeFrame(testing::RandomIdentity(random), shape,
                                   testing::RandomBytes(random, RawBytes(shape).value()));
  const auto payload = frame.end() - 128;
  std::swap_ranges(payload, payload + 64, payload + 64);
  EXPECT_EQ(testing::ParseAndVerify(frame), FrameFault::kStreamMismatch);
}

TEST(FrameVerifierTest, ReportsADamagedStreamBeforeTheNextArrives) {
  Bytes frame = SmallFrame();
  const FrameView view = ParseValid(frame);
  frame[view.streams()[0].offset] ^= std::byte{1};
  FrameVerifier verifier(view);
  const auto stream = PayloadOf(frame, view).first(view.streams()[0].bytes);
  EXPECT_EQ(verifier.Update(stream.first(stream.size() - 1)), FrameFault::kNone);
  EXPECT_EQ(verifier.Update(stream.last(1)), FrameFault::kStreamMismatch);
}

TEST(FrameVerifierTest, RepeatsItsFirstFault) {
  Bytes frame = SmallFrame();
  const FrameView view = ParseValid(frame);
  FrameVerifier verifier(view);
  Bytes damaged = frame;
  damaged[view.streams()[0].offset] ^= std::byte{1};
  EXPECT_EQ(verifier.Update(PayloadOf(damaged, view)), FrameFault::kStreamMismatch);
  EXPECT_EQ(verifier.Update(PayloadOf(frame, view)), FrameFault::kStreamMismatch);
  EXPECT_EQ(verifier.Update({}), FrameFault::kStreamMismatch);
  EXPECT_EQ(verifier.Finish(), FrameFault::kStreamMismatch);
}

TEST(FrameVerifierTest, GoesOnAfterAMove) {
  const Bytes frame = SmallFrame();
  const FrameView view = ParseValid(frame);
  const auto payload = PayloadOf(frame, view);
  FrameVerifier first(view);
  EXPECT_EQ(first.Update(payload.first(7)), FrameFault::kNone);
  FrameVerifier second(std::move(first));
  EXPECT_EQ(second.Finish(), FrameFault::kTooShort);
  EXPECT_EQ(second.Update(payload.subspan(7)), FrameFault::kNone);
  EXPECT_EQ(second.Finish(), FrameFault::kNone);
}

TEST(FrameVerifierTest, AgreesWithTheNaiveVerifierOnDamagedFrames) {
  std::mt19937_64 random(54);
  int damaged = 0;
  for (int round = 0; round < 3'000; ++round) {
    Bytes frame = testing::RandomFrame(random);
    const FrameView view = ParseValid(frame);
    const uint64_t header_bytes = view.header().header_bytes;
    for (uint64_t patches = RandomUpTo(random, 2); patches > 0; --patches) {
      const uint64_t at = header_bytes + RandomUpTo(random, frame.size() - header_bytes - 1);
      frame[at] ^= std::byte{1} << RandomUpTo(random, 7);
    }
    if (RandomUpTo(random, 3) == 0) {
      frame.resize(header_bytes + RandomUpTo(random, frame.size() - header_bytes + 65));
    }
    const FrameFault expected = testing::VerifyNaively(view, frame);
    damaged += expected == FrameFault::kNone ? 0 : 1;
    ASSERT_EQ(VerifyInPieces(view, PayloadOf(frame, view), 100, random), expected)
        << "seed 54, round " << round;
  }
  EXPECT_GT(damaged, 1'000);
}

}  // namespace
}  // namespace larder
