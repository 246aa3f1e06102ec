// Frames that lie on SSD in another form than in memory: what is encoded again, what is not, and what a reader gets.
#include "server/store/ssd_recode.h"

#include <random>

#include "kernels/codec/number_formats.h"
#include "tests/unit/server/store/tiers_fixture.h"

namespace larder::server {
namespace {

constexpr uint32_t kTokens = 16;

Manifest AttentionManifest(const std::string& model) {
  Manifest manifest;
  manifest.model = model;
  manifest.dtype = Dtype::kBf16;
  manifest.axis_order = AxisOrder::kNhd;
  manifest.block_tokens = kTokens;
  manifest.rope = {.pairing = RopePairing::kHalf, .theta = 10'000, .rotary_dim = 64};
  manifest.hash_scheme.name = "test";
  manifest.groups.push_back({.name = "full",
                             .kind = GroupKind::kAttention,
                             .layers = 1,
                             .kv_heads = 1,
                             .head_dim_k = 64,
                             .head_dim_v = 64});
  return manifest;
}

Config Recoding(const std::string& codec, const std::string& ssd_codec) {
  Config config;
  config.codec = codec;
  config.ssd_codec = ssd_codec;
  config.ssd_codec_by_model = "kept=raw";
  config.codec_edge_layers = 0;
  config.codec_sinks = 0;
  config.codec_fidelity_min = Fidelity::kCompact;
  return config;
}

class SsdRecodeStore : private FakeSsdDisk, public TieredStore {
 public:
  SsdRecodeStore(const std::string& codec, const std::string& ssd_codec,
                 const std::string& model = "attention-model")
      : TieredStore(static_cast<FakeSsdDisk&>(*this), Recoding(codec, ssd_codec)) {
    space = store.spaces().Register("default", AttentionManifest(model)).value()[0];
  }

 protected:
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
  Bytes RawFrame(uint64_t number, uint64_t parent) const {
    FrameIdentity identity;
    identity.space_digest = space->digest;
    identity.manifest_digest = space->manifest_digest;
    identity.prefix_hash = HashOf(number).bytes;
    identity.prefix_hash_bytes = 32;
    if (parent != 0) {
      identity.parent_hash = HashOf(parent).bytes;
      identity.parent_hash_bytes = 32;
      identity.token_begin = kTokens;
    }
    const Bytes raw = Values(number);
    Bytes frame = BuildRawFrameHeader(identity, space->shape, raw);
    frame.insert(frame.end(), raw.begin(), raw.end());
    frame.resize(RawFrameBytes(space->shape));
    return frame;
  }
  void PutOnSsd(uint64_t number, uint64_t parent = 0) {
    ASSERT_EQ(PutFrame(RawFrame(number, parent)).outcome, PutOutcome::kStored);
    ASSERT_TRUE(AllWritten());
  }
  // Puts others until block 1 has left memory.
  void PushOutOfMemory() {
    for (uint64_t number = 2; !OnSsdAlone(1); ++number) {
      ASSERT_LT(number, 100u);
      PutOnSsd(number);
    }
  }
  // What SSD owes for a block that memory held as `in_memory`.
  Bytes Owed(const Bytes& in_memory, const Bytes& on_ssd) const {
    BlockCoder coder;
    FrameView memory_view;
    FrameView ssd_view;
    EXPECT_EQ(FrameView::Parse(in_memory, &memory_view), FrameFault::kNone);
    EXPECT_EQ(FrameView::Parse(on_ssd, &ssd_view), FrameFault::kNone);
    Bytes raw(space->raw_bytes);
    EXPECT_TRUE(DecodeFrame(coder, memory_view, in_memory, raw));
    return coder.EncodeLike(ssd_view, raw).frame;
  }
  Fidelity FidelityNow(uint64_t number) {
    const Bytes frame = GetFrame(number);
    FrameView view;
    if (FrameView::Parse(frame, &view) != FrameFault::kNone) return Fidelity::kUnspecified;
    return view.fidelity();
  }
};

class Fp8OverBalanced : public SsdRecodeStore {
 protected:
  Fp8OverBalanced() : SsdRecodeStore("fp8", "balanced") {}
};

TEST_F(Fp8OverBalanced, ComesBackFromSsdAsItLiesThere) {
  PutOnSsd(1);
  const Bytes in_memory = GetFrame(1);
  EXPECT_EQ(FidelityNow(1), Fidelity::kNear);
  PushOutOfMemory();
  const Bytes on_ssd = GetFrame(1);
  EXPECT_EQ(FidelityNow(1), Fidelity::kBalanced);
  EXPECT_LT(on_ssd.size(), in_memory.size());
  EXPECT_EQ(on_ssd, Owed(in_memory, on_ssd));
  EXPECT_GT(store.migrate()->stats().recoded, 0u);
  for (const SsdEntry& entry : ssd.Entries()) {
    EXPECT_EQ(entry.record.fidelity, static_cast<uint8_t>(Fidelity::kBalanced));
  }
}

TEST_F(Fp8OverBalanced, WhoeverNeedsMoreMissesAndPutsItAgain) {
  PutOnSsd(1);
  PushOutOfMemory();
  const auto look = [&](Fidelity floor) {
    return store.lookup()
        .Run(*space, Hashes(1, 1), floor, "client", std::chrono::milliseconds(0))
        .value()
        .blocks.size();
  };
  EXPECT_EQ(look(Fidelity::kNear), 0u);
  EXPECT_EQ(look(Fidelity::kBalanced), 1u);
  PutOnSsd(1);
  EXPECT_EQ(look(Fidelity::kNear), 1u);
  EXPECT_EQ(FidelityNow(1), Fidelity::kNear);
}

TEST_F(Fp8OverBalanced, CountsWhatIsStored) {
  PutOnSsd(1);
  PushOutOfMemory();
  EXPECT_GT(space->stored_bytes.load(), 0u);
  store.blocks().Evict(*space, {});
  EXPECT_EQ(space->blocks.load(), 0u);
  EXPECT_EQ(space->stored_bytes.load(), 0u);
}

TEST_F(Fp8OverBalanced, GivesDamageNoChecksumsOfItsOwn) {
  PutOnSsd(1);
  Bytes frame = GetFrame(1);
  SsdRecoder recoder(metrics);
  ASSERT_TRUE(recoder.Recode(*space->codec.ssd_recipe, {frame}).has_value());
  for (size_t at = 0; at < frame.size(); at += 97) {
    frame[at] ^= std::byte{4};
    EXPECT_FALSE(recoder.Recode(*space->codec.ssd_recipe, {frame}).has_value()) << at;
    frame[at] ^= std::byte{4};
  }
}

class RawOverLossless : public SsdRecodeStore {
 protected:
  RawOverLossless() : SsdRecodeStore("raw", "lossless") {}
};

TEST_F(RawOverLossless, KeepsEveryBitInLessRoom) {
  PutOnSsd(1);
  PushOutOfMemory();
  const Bytes on_ssd = GetFrame(1);
  EXPECT_LT(on_ssd.size(), RawFrameBytes(space->shape));
  FrameView view;
  ASSERT_EQ(FrameView::Parse(on_ssd, &view), FrameFault::kNone);
  EXPECT_EQ(view.fidelity(), Fidelity::kExact);
  BlockCoder coder;
  Bytes raw(space->raw_bytes);
  ASSERT_TRUE(DecodeFrame(coder, view, on_ssd, raw));
  EXPECT_EQ(raw, Values(1));
}

// Plans that are not lower than what memory holds, and a model whose own plan says so.
struct Kept {
  const char* codec;
  const char* ssd_codec;
  const char* model;
};
class KeptAsItIs : public SsdRecodeStore, public ::testing::WithParamInterface<Kept> {
 protected:
  KeptAsItIs() : SsdRecodeStore(GetParam().codec, GetParam().ssd_codec, GetParam().model) {}
};

TEST_P(KeptAsItIs, LosesNothingForNothing) {
  PutOnSsd(1);
  const Bytes in_memory = GetFrame(1);
  PushOutOfMemory();
  EXPECT_EQ(GetFrame(1), in_memory);
  EXPECT_EQ(store.migrate()->stats().recoded, 0u);
}

INSTANTIATE_TEST_SUITE_P(Plans, KeptAsItIs,
                         ::testing::Values(Kept{"balanced", "fp8", "any"},
                                           Kept{"fp8", "e5m2", "any"}, Kept{"fp8", "raw", "any"},
                                           Kept{"fp8", "", "any"},
                                           Kept{"fp8", "balanced", "kept"}));

}  // namespace
}  // namespace larder::server
