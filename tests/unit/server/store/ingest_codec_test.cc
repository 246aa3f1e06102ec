// Ingest with codecs: what is stored, what counts as the same block, what replaces what.
#include <cmath>
#include <random>

#include "kernels/codec/block_coder.h"
#include "kernels/codec/number_formats.h"
#include "server/store/ingest.h"
#include "tests/fakes/fake_device_coder.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

// Head dimension 16 and odd tokens: streams whose size is no multiple of 64 are padded in frames.
Manifest AttentionManifest(uint32_t tokens) {
  Manifest manifest;
  manifest.model = "attention-model";
  manifest.dtype = Dtype::kBf16;
  manifest.axis_order = AxisOrder::kNhd;
  manifest.block_tokens = tokens;
  manifest.rope = {.pairing = RopePairing::kHalf, .theta = 10'000, .rotary_dim = 16};
  manifest.hash_scheme.name = "test";
  manifest.groups.push_back({.name = "full",
                             .kind = GroupKind::kAttention,
                             .layers = 2,
                             .kv_heads = 3,
                             .head_dim_k = 16,
                             .head_dim_v = 16});
  return manifest;
}

class IngestCodecTest : public StoreFixture {
 protected:
  explicit IngestCodecTest(DeviceEncoder* encoder = nullptr)
      : StoreFixture(Lenient(), uint64_t{1} << 20, nullptr, nullptr, encoder) {
    space = store.spaces().Register("default", AttentionManifest(33)).value()[0];
  }
  static Config Lenient() {
    Config config;
    config.codec_fidelity_min = Fidelity::kBalanced;
    return config;
  }

  Bytes Values(uint64_t seed) const {
    Bytes raw(space->raw_bytes);
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < raw.size(); i += 2) {
      const uint16_t element = Bf16OfFloat(normal(random));
      std::memcpy(raw.data() + i, &element, 2);
    }
    return raw;
  }
  FrameIdentity Identity(uint64_t number, uint64_t parent) const {
    FrameIdentity identity;
    identity.space_digest = space->digest;
    identity.manifest_digest = space->manifest_digest;
    identity.prefix_hash = HashOf(number).bytes;
    identity.prefix_hash_bytes = 32;
    identity.token_begin = parent == 0 ? 0 : 33;
    if (parent != 0) {
      identity.parent_hash = HashOf(parent).bytes;
      identity.parent_hash_bytes = 32;
    }
    return identity;
  }
  Bytes RawFrame(uint64_t number, uint64_t parent, const Bytes& raw) const {
    Bytes frame = BuildRawFrameHeader(Identity(number, parent), space->shape, raw);
    for (const RawStream& stream : RawStreams(space->shape)) {
      frame.insert(frame.end(), raw.begin() + stream.offset,
                   raw.begin() + stream.offset + stream.bytes);
      frame.resize(AlignFrame(frame.size()));
    }
    return frame;
  }
  IngestResult PutAs(std::string_view plan, const Bytes& frame) {
    IngestSession session = store.OpenIngest(*space, 1);
    session.UseRecipe(CodecPolicy::RecipeFor(space->codec, plan).value());
    EXPECT_TRUE(session.Begin(0, frame.size(), {}).ok());
    for (size_t at = 0; at < frame.size(); at += 777) {
      const size_t step = std::min<size_t>(777, frame.size() - at);
      EXPECT_TRUE(session.Write(0, std::span(frame).subspan(at, step)).ok());
    }
    return FinishNow(session)[0];
  }
  FrameView Stored(uint64_t number, Bytes* frame) {
    *frame = GetFrame(number);
    FrameView view;
    EXPECT_EQ(FrameView::Parse(*frame, &view), FrameFault::kNone);
    EXPECT_EQ(CheckCodecs(view), FrameFault::kNone);
    return view;
  }
};

TEST_F(IngestCodecTest, StoresRawFramesByTheModelsPlan) {
  const Bytes raw = Values(1);
  const IngestResult result = PutAs("", RawFrame(1, 0, raw));
  ASSERT_EQ(result.outcome, PutOutcome::kStored) << result.message;
  Bytes frame;
  const FrameView view = Stored(1, &frame);
  EXPECT_EQ(result.frame_bytes, frame.size());
  EXPECT_EQ(view.fidelity(), Fidelity::kNear);
  EXPECT_LT(frame.size(), raw.size());
  Bytes decoded(raw.size());
  BlockCoder coder;
  ASSERT_TRUE(DecodeFrame(coder, view, frame, decoded));
  // What the same recipe makes of the same bytes, and nothing else.
  EXPECT_EQ(coder.EncodeLike(view, raw).frame, frame);
  EXPECT_NE(decoded, raw);
  const std::string metrics_text = metrics.Scrape();
  EXPECT_NE(metrics_text.find("larder_encode_coded_streams_total 4"), std::string::npos);
}

// Checksums hold, yet no reader could decode it.
TEST_F(IngestCodecTest, RefusesEncodedFramesWhoseStreamsDoNotDecode) {
  BlockCoder coder;
  BlockRecipe recipe = space->codec.recipe;
  std::string why;
  recipe.plan = *ParsePlan("lossless", &why);
  recipe.full_tokens = 0;
  const Bytes raw = Values(1);
  const Bytes good = coder.Encode(recipe, Identity(1, 0), space->shape, raw).frame;
  FrameView view;
  ASSERT_EQ(FrameView::Parse(good, &view), FrameFault::kNone);
  Bytes payload(good.begin() + view.header().header_bytes, good.end());
  const StreamEntry& last = view.streams().back();
  for (size_t i = last.bytes / 2; i < last.bytes; ++i) {
    payload[last.offset - view.header().header_bytes + i] ^= std::byte{0x55};
  }
  std::vector<FrameStream> streams;
  for (const StreamEntry& stream : view.streams()) {
    streams.push_back({stream.descriptor, stream.bytes});
  }
  Bytes bad = BuildFrameHeader(Identity(1, 0), space->shape,
                               {view.fidelity(), view.descriptors(), streams, payload, {}});
  ASSERT_FALSE(bad.empty());
  bad.insert(bad.end(), payload.begin(), payload.end());
  EXPECT_EQ(PutAs("", bad).outcome, PutOutcome::kCorrupt);
  EXPECT_EQ(PutAs("", good).outcome, PutOutcome::kStored);
}

TEST_F(IngestCodecTest, AnswersAsExactPutsDo) {
  const Bytes frame = RawFrame(1, 0, Values(1));
  EXPECT_EQ(PutAs("", frame).outcome, PutOutcome::kStored);
  EXPECT_EQ(PutAs("", frame).outcome, PutOutcome::kAlreadyPresent);
  EXPECT_EQ(PutAs("", RawFrame(1, 0, Values(2))).outcome, PutOutcome::kConflict);
  EXPECT_EQ(PutAs("", RawFrame(3, 2, Values(3))).outcome, PutOutcome::kParentAbsent);
  EXPECT_EQ(PutAs("", RawFrame(2, 1, Values(3))).outcome, PutOutcome::kStored);
  Bytes damaged = RawFrame(4, 2, Values(4));
  damaged.back() ^= std::byte{1};  // padding: the header is right, the payload is not
  EXPECT_EQ(PutAs("", damaged).outcome, PutOutcome::kInvalid);
  damaged.back() ^= std::byte{1};
  damaged[damaged.size() / 2] ^= std::byte{1};
  EXPECT_EQ(PutAs("", damaged).outcome, PutOutcome::kCorrupt);
}

TEST_F(IngestCodecTest, ABetterCopyReplacesALesserOneAndNeverTheReverse) {
  const Bytes raw = Values(1);
  const Bytes frame = RawFrame(1, 0, raw);
  ASSERT_EQ(PutAs("q8q4", frame).outcome, PutOutcome::kStored);
  EXPECT_EQ(store.blocks().stats().blocks, 1u);
  {
    const LookupAnswer leased = Look(1, 1, 1000);
    EXPECT_EQ(PutAs("raw", frame).outcome, PutOutcome::kNoRoom);  // somebody was promised the copy
    store.leases().ReleaseAll();
  }
  ASSERT_EQ(PutAs("raw", frame).outcome, PutOutcome::kStored);
  EXPECT_EQ(store.blocks().stats().blocks, 1u);
  EXPECT_EQ(store.blocks().stats().removed[static_cast<int>(RemovalReason::kReplaced)], 1u);
  Bytes stored;
  EXPECT_EQ(Stored(1, &stored).fidelity(), Fidelity::kExact);
  EXPECT_EQ(stored, frame);
  EXPECT_EQ(PutAs("q8q4", frame).outcome, PutOutcome::kAlreadyPresent);
  EXPECT_EQ(PutAs("fp8", RawFrame(1, 0, Values(9))).outcome, PutOutcome::kConflict);
  EXPECT_EQ(Stored(1, &stored).fidelity(), Fidelity::kExact);
}

TEST_F(IngestCodecTest, OtherBytesDoNotReplaceACopyOfLowerFidelity) {
  ASSERT_EQ(PutAs("q8q4", RawFrame(1, 0, Values(1))).outcome, PutOutcome::kStored);
  EXPECT_EQ(PutAs("raw", RawFrame(1, 0, Values(2))).outcome, PutOutcome::kConflict);
  EXPECT_EQ(PutAs("fp8", RawFrame(1, 0, Values(2))).outcome, PutOutcome::kConflict);
  Bytes stored;
  EXPECT_EQ(Stored(1, &stored).fidelity(), Fidelity::kBalanced);
  EXPECT_EQ(store.blocks().stats().conflicts, 2u);
}

// What a raw frame says about its source would otherwise make it pass for another block.
TEST_F(IngestCodecTest, RefusesARawFrameThatNamesAnotherAsItsSource) {
  Bytes frame = RawFrame(1, 0, Values(1));
  FrameView view;
  ASSERT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
  FrameHeader header = view.header();
  header.source_root.low = 1;
  header.root = {};
  std::memcpy(frame.data(), &header, sizeof(header));
  header.root = ChecksumOf(std::span(frame).first(header.header_bytes));
  std::memcpy(frame.data(), &header, sizeof(header));
  EXPECT_EQ(PutAs("raw", frame).outcome, PutOutcome::kInvalid);
}

// Values that no codec takes: the frame is what a raw put would have stored, under the same root.
TEST_F(IngestCodecTest, ABlockThatCanNotBeCodedIsStoredAsItCame) {
  Bytes raw = Values(1);
  const uint16_t infinity = 0x7F80;
  for (size_t at = 0; at < raw.size(); at += 32) std::memcpy(raw.data() + at, &infinity, 2);
  const Bytes frame = RawFrame(1, 0, raw);
  ASSERT_EQ(PutAs("fp8", frame).outcome, PutOutcome::kStored);
  EXPECT_EQ(GetFrame(1), frame);
  EXPECT_EQ(PutAs("fp8", frame).outcome, PutOutcome::kAlreadyPresent);
}

TEST_F(IngestCodecTest, AReplacedBlockKeepsItsPlaceInTheChain) {
  ASSERT_EQ(PutAs("fp8", RawFrame(1, 0, Values(1))).outcome, PutOutcome::kStored);
  ASSERT_EQ(PutAs("fp8", RawFrame(2, 1, Values(2))).outcome, PutOutcome::kStored);
  ASSERT_EQ(PutAs("raw", RawFrame(1, 0, Values(1))).outcome, PutOutcome::kStored);
  EXPECT_EQ(Resident(1, 2), 2u);
}

TEST_F(IngestCodecTest, TakesEncodedFramesAsTheyAreDownToTheFloor) {
  BlockCoder coder;
  const Bytes raw = Values(1);
  const auto encoded = [&](std::string_view plan) {
    BlockRecipe recipe = space->codec.recipe;
    std::string why;
    recipe.plan = ParsePlan(plan, &why).value();
    return coder.Encode(recipe, Identity(1, 0), space->shape, raw).frame;
  };
  EXPECT_EQ(PutAs("", encoded("turbo3")).outcome, PutOutcome::kInvalid);
  const Bytes frame = encoded("turbo4");
  ASSERT_EQ(PutAs("", frame).outcome, PutOutcome::kStored);
  Bytes stored;
  Stored(1, &stored);
  EXPECT_EQ(stored, frame);
}

TEST_F(IngestCodecTest, RefusesCodecsThatItDoesNotKnow) {
  const Bytes raw = Values(1);
  CodecDescriptor unknown{};
  unknown.codec_id = 999;
  std::vector<FrameStream> streams;
  Bytes payload;
  for (const RawStream& stream : RawStreams(space->shape)) {
    streams.push_back({0, stream.bytes});
    payload.insert(payload.end(), raw.begin() + stream.offset,
                   raw.begin() + stream.offset + stream.bytes);
    payload.resize(AlignFrame(payload.size()));
  }
  Bytes frame = BuildFrameHeader(Identity(1, 0), space->shape,
                                 {Fidelity::kNear, {&unknown, 1}, streams, payload, {}});
  ASSERT_FALSE(frame.empty());
  frame.insert(frame.end(), payload.begin(), payload.end());
  EXPECT_EQ(PutAs("", frame).outcome, PutOutcome::kCodecUnknown);
}

TEST_F(IngestCodecTest, KeepsRawWhatACodecCanNotHold) {
  Bytes raw = Values(1);
  const uint16_t nan = 0x7FC0;
  std::memcpy(raw.data() + 600, &nan, 2);  // behind the sinks
  ASSERT_EQ(PutAs("fp8", RawFrame(1, 0, raw)).outcome, PutOutcome::kStored);
  Bytes frame;
  const FrameView view = Stored(1, &frame);
  Bytes decoded(raw.size());
  BlockCoder coder;
  ASSERT_TRUE(DecodeFrame(coder, view, frame, decoded));
  EXPECT_EQ(std::memcmp(decoded.data(), raw.data(), RawStreams(space->shape)[0].bytes), 0);
  EXPECT_NE(metrics.Scrape().find("larder_encode_fallback_streams_total 1"), std::string::npos);
}

// The store's device; constructed before the store that uses it, destroyed after.
class DeviceHolder {
 protected:
  explicit DeviceHolder(std::unique_ptr<FakeDeviceCoder> coder)
      : device(*coder), encoder(std::move(coder), Options(), device_metrics) {}
  static DeviceEncoder::Options Options() {
    return {.patience = std::chrono::seconds(20), .failures_max = 3, .raw_bytes_min = 0};
  }

  Metrics device_metrics;
  FakeDeviceCoder& device;
  DeviceEncoder encoder;
};

class IngestOnDeviceTest : protected DeviceHolder, public IngestCodecTest {
 protected:
  IngestOnDeviceTest()
      : DeviceHolder(std::make_unique<FakeDeviceCoder>(1)), IngestCodecTest(&encoder) {}
  bool Counted(const char* line) {
    return device_metrics.Scrape().find(line) != std::string::npos;
  }
};

TEST_F(IngestOnDeviceTest, StoresWhatTheCpuWouldWhetherTheDeviceWorksOrNot) {
  BlockCoder coder;
  uint64_t number = 0;
  for (const DeviceAct act : {DeviceAct::kWorks, DeviceAct::kFails, DeviceAct::kUnfit,
                              DeviceAct::kRefuses, DeviceAct::kWorks}) {
    device.Act(act);
    for (const char* plan : {"fp8", "lossless"}) {
      ++number;
      Bytes raw = Values(number);
      const uint16_t infinity = 0x7F80;
      if (number % 3 == 0) std::memcpy(raw.data() + 600, &infinity, 2);
      const Bytes frame = RawFrame(number, 0, raw);
      ASSERT_EQ(PutAs(plan, frame).outcome, PutOutcome::kStored) << number;
      Bytes stored;
      const FrameView view = Stored(number, &stored);
      FrameView raw_view;
      ASSERT_EQ(FrameView::Parse(frame, &raw_view), FrameFault::kNone);
      EXPECT_EQ(coder
                    .Encode(CodecPolicy::RecipeFor(space->codec, plan).value(),
                            Identity(number, 0), space->shape, raw, raw_view.header().root)
                    .frame,
                stored)
          << number;
      EXPECT_EQ(PutAs(plan, frame).outcome, PutOutcome::kAlreadyPresent);
    }
  }
  EXPECT_TRUE(Counted("larder_encode_device_blocks_total{end=\"done\"} 2"));
  EXPECT_TRUE(Counted("larder_encode_device_blocks_total{end=\"unfit\"} 2"));
  EXPECT_TRUE(Counted("larder_encode_device_blocks_total{end=\"failed\"} 3"));
  EXPECT_FALSE(encoder.on());  // so that the CPU did the last ones
}

TEST_F(IngestOnDeviceTest, GivesTheSlotBackOfABlockThatFindsNoRoom) {
  for (uint64_t number = 1; number <= 400; ++number) {
    const LookupAnswer leased = Look(1, 1, 1000);
    PutAs("fp8", RawFrame(number, number - 1, Values(number)));
  }
  EXPECT_FALSE(Counted("larder_encode_device_blocks_total{end=\"busy\"} 1"));
  store.leases().ReleaseAll();
}

TEST_F(IngestCodecTest, ASessionThatEndsEarlyLeavesNoStaging) {
  const Bytes frame = RawFrame(1, 0, Values(1));
  {
    IngestSession session = store.OpenIngest(*space, 1);
    ASSERT_TRUE(session.Begin(0, frame.size(), {}).ok());
    ASSERT_TRUE(session.Write(0, std::span(frame).first(frame.size() - 1)).ok());
    EXPECT_GT(store.ingest_budget().used(), 0u);
  }
  EXPECT_EQ(store.ingest_budget().used(), 0u);
  EXPECT_EQ(store.blocks().stats().blocks, 0u);
}

}  // namespace
}  // namespace larder::server
