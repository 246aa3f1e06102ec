#include "kernels/codec/check_codecs.h"

#include <gtest/gtest.h>

#include "kernels/codec/block_coder.h"
#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder {
namespace {

// Rebuilds the frame's header after `change` has altered its parts; the payload is what it was.
template <typename Change>
FrameFault CheckAfter(const std::vector<std::byte>& frame, Change change) {
  FrameView view;
  EXPECT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
  std::vector<CodecDescriptor> descriptors(view.descriptors().begin(), view.descriptors().end());
  std::vector<FrameStream> streams;
  for (const StreamEntry& stream : view.streams()) {
    streams.push_back({stream.descriptor, stream.bytes});
  }
  std::vector<std::byte> payload(frame.begin() + view.header().header_bytes, frame.end());
  Fidelity fidelity = view.fidelity();
  FrameIdentity identity = view.identity();
  change(descriptors, streams, payload, fidelity, identity);
  const auto header =
      BuildFrameHeader(identity, view.shape(), {fidelity, descriptors, streams, payload, {}});
  EXPECT_FALSE(header.empty());
  EXPECT_EQ(FrameView::Parse(header, &view), FrameFault::kNone);
  return CheckCodecs(view);
}

class CheckCodecsTest : public testing::Test {
 protected:
  void SetUp() override {
    const KvShape shape = AttentionShape();
    BlockCoder coder;
    frame_ = coder.Encode(RecipeOf("fp8"), IdentityAt(64), shape, GaussianBlock(shape, 1)).frame;
  }
  std::vector<std::byte> frame_;
};

TEST_F(CheckCodecsTest, AcceptsWhatTheCoderWrites) {
  EXPECT_EQ(CheckAfter(frame_, [](auto&...) {}), FrameFault::kNone);
}

TEST_F(CheckCodecsTest, RefusesUnknownCodecsAndParameters) {
  EXPECT_EQ(CheckAfter(frame_, [](auto& d, auto&...) { d[0].codec_id = 500; }),
            FrameFault::kBadDescriptor);
  EXPECT_EQ(CheckAfter(frame_, [](auto& d, auto&...) { d[0].params[1] = 0x40; }),
            FrameFault::kBadDescriptor);
}

TEST_F(CheckCodecsTest, RefusesSizesThatDoNotFit) {
  EXPECT_EQ(CheckAfter(frame_, [](auto&, auto& streams, auto&...) { streams[0].bytes -= 1; }),
            FrameFault::kBadStream);
}

TEST_F(CheckCodecsTest, RefusesAFidelityAboveTheCodecs) {
  EXPECT_EQ(CheckAfter(frame_, [](auto&, auto&, auto&, auto& f, auto&) { f = Fidelity::kExact; }),
            FrameFault::kBadShape);
  EXPECT_EQ(CheckAfter(frame_, [](auto&, auto&, auto&, auto& f, auto&) { f = Fidelity::kReduced; }),
            FrameFault::kNone);
}

TEST_F(CheckCodecsTest, RefusesSinksBehindTheFirstBlock) {
  CodecParams params;
  EXPECT_EQ(CheckAfter(frame_,
                       [&](auto& d, auto&...) {
                         std::memcpy(&params, d[0].params.data(), sizeof(params));
                         params.sinks = 4;
                         std::memcpy(d[0].params.data(), &params, sizeof(params));
                       }),
            FrameFault::kBadDescriptor);
}

TEST_F(CheckCodecsTest, RefusesPositionsBeyondTheRotationTables) {
  EXPECT_EQ(CheckAfter(frame_, [](auto&, auto&, auto&, auto&,
                                  auto& identity) { identity.token_begin = ~uint64_t{0}; }),
            FrameFault::kBadDescriptor);
}

}  // namespace
}  // namespace larder
