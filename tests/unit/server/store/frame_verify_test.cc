#include "server/store/frame_verify.h"

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

class FrameVerifyTest : public StoreFixture {
 protected:
  // However the memory is cut.
  static FrameFault Verify(Bytes& frame, size_t cut) {
    ByteSpans spans = {std::span(frame).first(cut)};
    if (cut < frame.size()) spans.push_back(std::span(frame).subspan(cut));
    return VerifyFrame(spans);
  }
};

TEST_F(FrameVerifyTest, AcceptsAWholeFrameHoweverItIsCut) {
  Bytes frame = FrameOf(*space, 1, 0, 1);
  for (const size_t cut : {size_t{512}, size_t{1'000}, frame.size()}) {
    EXPECT_EQ(Verify(frame, cut), FrameFault::kNone) << cut;
  }
}

TEST_F(FrameVerifyTest, NoticesEveryBitThatTurned) {
  const Bytes whole = FrameOf(*space, 1, 0, 1);
  for (size_t bit = 0; bit < whole.size() * 8; bit += 37) {
    Bytes frame = whole;
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
    // What only fills up the last alignment is nobody's.
    if (bit / 8 >= 384 + space->raw_bytes) break;
    ASSERT_NE(Verify(frame, 512), FrameFault::kNone) << "bit " << bit;
  }
}

}  // namespace
}  // namespace larder::server
