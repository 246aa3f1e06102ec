#include <functional>
#include <string>

#include "gtest/gtest.h"
#include "kernels/format/frame.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder {
namespace {

using testing::Bytes;
using testing::kDescriptorOffset;
using testing::kStreamOffset;
using testing::Load;
using testing::RandomUpTo;
using testing::SmallFrame;
using testing::Store;

FrameFault Parse(std::span<const std::byte> bytes) {
  FrameView view;
  return FrameView::Parse(bytes, &view);
}

// What Parse says about SmallFrame() after a patch, with a root that agrees with the patch.
FrameFault ParsePatchedHeader(const std::function<void(FrameHeader&)>& patch) {
  Bytes frame = SmallFrame();
  FrameHeader header = Load<FrameHeader>(frame, 0);
  patch(header);
  Store(header, 0, &frame);
  testing::Reroot(&frame);
  return Parse(frame);
}

FrameFault ParsePatchedDescriptor(const std::function<void(CodecDescriptor&)>& patch) {
  Bytes frame = SmallFrame();
  CodecDescriptor descriptor = Load<CodecDescriptor>(frame, kDescriptorOffset);
  patch(descriptor);
  Store(descriptor, kDescriptorOffset, &frame);
  testing::Reroot(&frame);
  return Parse(frame);
}

// Patches the second of the two streams.
FrameFault ParsePatchedStream(const std::function<void(StreamEntry&)>& patch) {
  Bytes frame = SmallFrame();
  const size_t offset = kStreamOffset + sizeof(StreamEntry);
  StreamEntry stream = Load<StreamEntry>(frame, offset);
  patch(stream);
  Store(stream, offset, &frame);
  testing::Reroot(&frame);
  return Parse(frame);
}

TEST(FrameViewTest, ReturnsWhatWasBuilt) {
  std::mt19937_64 random(31);
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE("seed 31, round " + std::to_string(round));
    const KvShape shape = testing::RandomShape(random);
    const FrameIdentity identity = testing::RandomIdentity(random);
    const Bytes raw = testing::RandomBytes(random, RawBytes(shape).value());
    const Bytes region = BuildRawFrameHeader(identity, shape, raw);

    uint32_t header_bytes = 0;
    ASSERT_EQ(FrameView::HeaderBytes(std::span(region).first(256), &header_bytes),
              FrameFault::kNone);
    ASSERT_EQ(header_bytes, region.size());
    FrameView view;
    ASSERT_EQ(FrameView::Parse(region, &view), FrameFault::kNone);
    EXPECT_EQ(view.shape(), shape);
    EXPECT_EQ(view.identity(), identity);
    EXPECT_EQ(view.fidelity(), Fidelity::kExact);
    EXPECT_EQ(view.header().raw_bytes, raw.size());
    ASSERT_EQ(view.descriptors().size(), 1u);
    const std::vector<RawStream> expected = RawStreams(shape);
    ASSERT_EQ(view.streams().size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(view.streams()[i].checksum,
                ChecksumOf(std::span(raw).subspan(expected[i].offset, expected[i].bytes)));
    }
  }
}

TEST(FrameViewTest, KeepsNoReferenceToItsInput) {
  FrameView view;
  {
    Bytes frame = SmallFrame();
    ASSERT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
    std::fill(frame.begin(), frame.end(), std::byte{0xEE});
  }
  EXPECT_EQ(view.streams()[0].kind, static_cast<uint8_t>(StreamKind::kKey));
}

TEST(FrameViewTest, ReadsFromAnyAddress) {
  const Bytes frame = SmallFrame();
  for (size_t shift = 0; shift < 8; ++shift) {
    Bytes shifted(shift);
    shifted.insert(shifted.end(), frame.begin(), frame.end());
    EXPECT_EQ(Parse(std::span(shifted).subspan(shift)), FrameFault::kNone);
  }
}

TEST(FrameViewTest, DetectsEveryBitFlipInTheHeaderRegion) {
  Bytes frame = SmallFrame();
  const size_t header_bytes = Load<FrameHeader>(frame, 0).header_bytes;
  for (size_t bit = 0; bit < header_bytes * 8; ++bit) {
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_NE(Parse(frame), FrameFault::kNone) << "bit " << bit;
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  EXPECT_EQ(Parse(frame), FrameFault::kNone);
}

TEST(FrameViewTest, DetectsEveryTruncationOfTheHeaderRegion) {
  const Bytes frame = SmallFrame();
  const size_t header_bytes = Load<FrameHeader>(frame, 0).header_bytes;
  for (size_t size = 0; size < header_bytes; ++size) {
    // An exact copy, so that ASan sees a read past the end.
    const Bytes cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
    ASSERT_EQ(Parse(cut), FrameFault::kTooShort) << size;
  }
  EXPECT_EQ(Parse(std::span(frame).first(header_bytes)), FrameFault::kNone);
}

TEST(FrameViewTest, RefusesAnotherMagicOrMajorVersion) {
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.magic ^= 1; }), FrameFault::kBadMagic);
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.version_major = 2; }),
            FrameFault::kBadVersion);
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.version_major = 0; }),
            FrameFault::kBadVersion);
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.version_minor = 9; }), FrameFault::kNone);
}

TEST(FrameViewTest, RefusesSizesThatDoNotAgree) {
  const auto fault = ParsePatchedHeader;
  const FrameFault expected = FrameFault::kBadHeaderSize;
  EXPECT_EQ(fault([](FrameHeader& h) { h.header_bytes += 64; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.header_bytes -= 64; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.header_bytes = 0; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.header_bytes = 0xFFFFFFC0; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.descriptor_count = 0; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.descriptor_count = 257; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.descriptor_count = 0xFFFF; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.stream_count = 0; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.stream_count = 0xFFFFFFFF; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.frame_bytes = h.header_bytes; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.frame_bytes += 1; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.frame_bytes = kFrameBytesMax + 64; }), expected);
  EXPECT_EQ(fault([](FrameHeader& h) { h.frame_bytes = ~uint64_t{63}; }), expected);
}

TEST(FrameViewTest, RefusesCountsOutOfRangeEvenWhenSizesAgree) {
  const auto fault = [](uint16_t descriptors, uint32_t streams) {
    FrameHeader header = Load<FrameHeader>(SmallFrame(), 0);
    header.descriptor_count = descriptors;
    header.stream_count = streams;
    header.header_bytes = static_cast<uint32_t>(FrameHeaderRegionBytes(descriptors, streams));
    header.frame_bytes = header.header_bytes + 64;
    uint32_t header_bytes = 0;
    return FrameView::HeaderBytes(std::as_bytes(std::span(&header, 1)), &header_bytes);
  };
  EXPECT_EQ(fault(1, 1), FrameFault::kNone);
  EXPECT_EQ(fault(0, 1), FrameFault::kBadHeaderSize);
  EXPECT_EQ(fault(1, 0), FrameFault::kBadHeaderSize);
  EXPECT_EQ(fault(256, 1), FrameFault::kNone);
  EXPECT_EQ(fault(257, 1), FrameFault::kBadHeaderSize);
  EXPECT_EQ(fault(1, 5454), FrameFault::kNone);           // 320 + 5454 x 48 = 262,112
  EXPECT_EQ(fault(1, 5455), FrameFault::kBadHeaderSize);  // above 256 KiB
}

TEST(FrameViewTest, RefusesShapesThatDoNotGiveRawBytes) {
  const auto fault = ParsePatchedHeader;
  EXPECT_EQ(fault([](FrameHeader& h) { h.raw_bytes += 1; }), FrameFault::kBadShape);
  EXPECT_EQ(fault([](FrameHeader& h) { h.tokens = 4; }), FrameFault::kBadShape);
  EXPECT_EQ(fault([](FrameHeader& h) { h.tokens = h.head_dim_k = 0xFFFFFFFF; }),
            FrameFault::kBadShape);
  EXPECT_EQ(fault([](FrameHeader& h) { h.layers = 0; }), FrameFault::kBadShape);
  EXPECT_EQ(fault([](FrameHeader& h) { h.layer_begin = h.layers = 0xFFFFFFFF; }),
            FrameFault::kBadShape);
  for (uint8_t wrong : {0, 5, 255}) {
    EXPECT_EQ(fault([=](FrameHeader& h) { h.group_kind = wrong; }), FrameFault::kBadShape);
  }
  for (uint8_t wrong : {0, 8, 255}) {
    EXPECT_EQ(fault([=](FrameHeader& h) { h.dtype = wrong; }), FrameFault::kBadShape);
  }
  for (uint8_t wrong : {0, 3, 255}) {
    EXPECT_EQ(fault([=](FrameHeader& h) { h.axis_order = wrong; }), FrameFault::kBadShape);
  }
  for (uint8_t wrong : {0, 6, 255}) {
    EXPECT_EQ(fault([=](FrameHeader& h) { h.fidelity = wrong; }), FrameFault::kBadShape);
  }
}

TEST(FrameViewTest, RefusesHashesOfTheWrongLength) {
  const auto fault = ParsePatchedHeader;
  EXPECT_EQ(fault([](FrameHeader& h) { h.prefix_hash_bytes = 0; }), FrameFault::kBadShape);
  EXPECT_EQ(fault([](FrameHeader& h) { h.prefix_hash_bytes = 33; }), FrameFault::kBadShape);
  EXPECT_EQ(fault([](FrameHeader& h) { h.parent_hash_bytes = 255; }), FrameFault::kBadShape);
  EXPECT_EQ(fault([](FrameHeader& h) { h.prefix_hash_bytes = 31; }), FrameFault::kReservedSet);
}

TEST(FrameViewTest, RefusesReservedBytesThatAreSet) {
  const FrameFault expected = FrameFault::kReservedSet;
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.flags = 1; }), expected);
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.reserved0 = 0x8000; }), expected);
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.reserved1[15] = 1; }), expected);
  EXPECT_EQ(ParsePatchedDescriptor([](CodecDescriptor& d) { d.reserved = 1; }), expected);
  EXPECT_EQ(ParsePatchedDescriptor([](CodecDescriptor& d) { d.params[55] = 1; }), expected);
  EXPECT_EQ(ParsePatchedStream([](StreamEntry& s) { s.reserved = 1; }), expected);

  Bytes frame = SmallFrame();  // 416 bytes of tables, padded to 448
  frame[447] = std::byte{1};
  testing::Reroot(&frame);
  EXPECT_EQ(Parse(frame), expected);
}

TEST(FrameViewTest, RefusesDescriptorsOfTheWrongForm) {
  const FrameFault expected = FrameFault::kBadDescriptor;
  EXPECT_EQ(ParsePatchedDescriptor([](CodecDescriptor& d) { d.params_bytes = 1; }), expected);
  EXPECT_EQ(ParsePatchedDescriptor([](CodecDescriptor& d) { d.params_bytes = 57; }), expected);
}

TEST(FrameViewTest, RefusesADirectoryThatDoesNotFollowFromTheShape) {
  const auto fault = ParsePatchedStream;
  const FrameFault expected = FrameFault::kBadStream;
  EXPECT_EQ(fault([](StreamEntry& s) { s.offset += 64; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.offset -= 64; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.offset += 1; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.offset = ~uint64_t{63}; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.bytes += 1; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.bytes += 64; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.bytes = ~uint64_t{0}; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.bytes = 0; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.layer += 1; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.tokens += 1; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.head_begin = 1; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.head_count = 2; }), expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.kind = static_cast<uint8_t>(StreamKind::kKey); }),
            expected);
  EXPECT_EQ(fault([](StreamEntry& s) { s.descriptor = 1; }), expected);
  EXPECT_EQ(ParsePatchedHeader([](FrameHeader& h) { h.frame_bytes += 64; }), expected);
}

TEST(FrameViewTest, RefusesADirectoryWithFewerStreamsThanTheShape) {
  Bytes frame = SmallFrame();
  FrameHeader header = Load<FrameHeader>(frame, 0);
  StreamEntry first = Load<StreamEntry>(frame, kStreamOffset);
  first.offset = 384;
  header.stream_count = 1;
  header.header_bytes = 384;  // 256 + 64 + 48, padded
  header.frame_bytes = 384 + 64;
  frame.assign(frame.size(), std::byte{0});
  Store(header, 0, &frame);
  Store(first, kStreamOffset, &frame);
  testing::Reroot(&frame);
  EXPECT_EQ(Parse(frame), FrameFault::kBadStream);
}

TEST(FrameViewTest, RefusesRandomGarbage) {
  std::mt19937_64 random(41);
  for (int round = 0; round < 20'000; ++round) {
    Bytes garbage = testing::RandomBytes(random, RandomUpTo(random, 1024));
    ASSERT_NE(Parse(garbage), FrameFault::kNone) << "seed 41, round " << round;
  }
}

// Garbage that passes the first checks: patched fields under a root that agrees. What is still
// accepted must be well formed.
TEST(FrameViewTest, AcceptsOnlyFramesThatRebuildThemselves) {
  std::mt19937_64 random(42);
  int accepted = 0;
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes frame = testing::RandomFrame(random);
    const size_t header_bytes = Load<FrameHeader>(frame, 0).header_bytes;
    for (uint64_t patches = RandomUpTo(random, 3); patches > 0; --patches) {
      frame[RandomUpTo(random, header_bytes - 1)] = static_cast<std::byte>(RandomUpTo(random, 8));
    }
    testing::Reroot(&frame);
    FrameView view;
    if (FrameView::Parse(frame, &view) != FrameFault::kNone ||
        testing::VerifyNaively(view, frame) != FrameFault::kNone) {
      ++refused;
      continue;
    }
    ++accepted;
    ASSERT_TRUE(testing::RebuildsItself(view, frame)) << "seed 42, round " << round;
  }
  EXPECT_GT(accepted, 1'000);
  EXPECT_GT(refused, 1'000);
}

TEST(FrameFaultTextTest, IsDistinctForEveryFault) {
  std::vector<std::string_view> texts;
  for (int fault = 0; fault <= static_cast<int>(FrameFault::kStreamMismatch); ++fault) {
    texts.push_back(FrameFaultText(static_cast<FrameFault>(fault)));
    EXPECT_NE(texts.back(), FrameFaultText(static_cast<FrameFault>(255)));
  }
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(std::adjacent_find(texts.begin(), texts.end()), texts.end());
}

}  // namespace
}  // namespace larder
