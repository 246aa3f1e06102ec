// Payloads of whole blocks by the steps of a plan, run on the host: the bytes of BlockCoder, and its decoding of them.
#include "kernels/codec/device/frame_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>

#include "kernels/codec/block_coder.h"
#include "tests/gpu/frame_check.h"
#include "tests/gpu/host_machine.h"

namespace larder {
namespace {

KvShape ShapeOf(AxisOrder order, uint32_t tokens) {
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = Dtype::kBf16;
  shape.axis_order = order;
  shape.layer_begin = 3;
  shape.layers = 5;
  shape.kv_heads = 3;
  shape.head_dim_k = 80;
  shape.head_dim_v = 64;
  shape.tokens = tokens;
  return shape;
}

CodecPlan PlanNamed(const char* name) {
  std::string why;
  return ParsePlan(name, &why).value();
}

FrameCase CaseOf(const char* plan, AxisOrder order, uint64_t token_begin) {
  FrameCase of;
  of.shape = ShapeOf(order, 37);
  of.token_begin = token_begin;
  of.blocks = 2;
  of.recipe.plan = PlanNamed(plan);
  of.recipe.edge_plan = PlanNamed("fp8");
  of.recipe.edge_layers = 1;
  of.recipe.sinks = 4;
  of.recipe.rope.pairing = 1;
  of.recipe.rope.rotary_dim = 80;
  of.recipe.rope.theta = 10'000;
  of.raw.resize(of.raw_bytes() * of.blocks);
  std::mt19937_64 random(7);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < of.raw.size(); i += 2) {
    const uint16_t element = Bf16OfFloat(normal(random));
    std::memcpy(of.raw.data() + i, &element, 2);
  }
  return of;
}

// A block's frame as BlockCoder makes it.
struct Framed {
  Framed(const FrameCase& of, uint32_t block) {
    FrameIdentity identity;
    identity.prefix_hash_bytes = 32;
    identity.token_begin = of.token_begin;
    const EncodedBlock encoded = coder.Encode(of.recipe, identity, of.shape, of.Raw(block));
    frame = encoded.frame;
    fallback_streams = encoded.fallback_streams;
    EXPECT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
  }
  std::span<const std::byte> Payload() const {
    return std::span(frame).subspan(view.header().header_bytes);
  }
  PlacedStream Placed(size_t stream) const {
    const StreamEntry& entry = view.streams()[stream];
    const bool raw = view.descriptors()[entry.descriptor].codec_id == 0;
    return {entry.offset - view.header().header_bytes, entry.bytes, raw ? 1u : 0u, 0};
  }

  BlockCoder coder;
  std::vector<std::byte> frame;
  FrameView view;
  uint32_t fallback_streams = 0;
};

struct Counts {
  int packed = 0, varying = 0, fallbacks = 0, latents = 0, refused = 0, held = 0;
};

// The payloads of a case are BlockCoder's; of a kFixed plan only while every stream can be coded.
void ExpectTheCodersBytes(const FrameCase& of, Counts& counts) {
  const auto plan = of.Plan();
  ASSERT_TRUE(plan);
  HostMachine machine;
  const auto got = EncodeCase(machine, of, *plan);
  ASSERT_TRUE(got);
  const size_t streams = of.codecs().size();
  FramePayloads framed;  // the coder's own, to be decoded
  framed.bytes.assign(got->bytes.size(), std::byte{0xA5});
  bool all_coded = true;
  for (uint32_t block = 0; block < of.blocks; ++block) {
    const Framed want(of, block);
    all_coded = all_coded && want.fallback_streams == 0;
    counts.fallbacks += want.fallback_streams > 0 ? 1 : 0;
    if (!plan->packed() && want.fallback_streams > 0) continue;
    const auto payload = want.Payload();
    ASSERT_LE(payload.size(), plan->payload_bytes());
    const auto begin = block * plan->payload_bytes();
    ASSERT_TRUE(std::ranges::equal(std::span(got->bytes).subspan(begin, payload.size()), payload));
    // Nothing behind a payload is touched.
    for (size_t i = payload.size(); i < plan->payload_bytes(); ++i) {
      ASSERT_EQ(got->bytes[begin + i], std::byte{0xA5});
    }
    std::ranges::copy(payload, framed.bytes.begin() + static_cast<ptrdiff_t>(begin));
    for (size_t stream = 0; plan->packed() && stream < streams; ++stream) {
      framed.placed.push_back(want.Placed(stream));
      ASSERT_EQ(std::memcmp(&got->placed[block * streams + stream], &framed.placed.back(),
                            sizeof(PlacedStream)),
                0)
          << "stream " << stream;
    }
  }
  ASSERT_EQ(std::ranges::count(got->refused, 0u) == static_cast<int64_t>(got->refused.size()),
            all_coded);
  if (!plan->packed() && !all_coded) return;
  const auto back = DecodeCase(machine, of, *plan, framed);
  ASSERT_TRUE(back);
  if (plan->packed()) {
    ASSERT_EQ(back->refused, std::vector<uint32_t>(back->refused.size()));
  }
  for (uint32_t block = 0; block < of.blocks; ++block) {
    Framed want(of, block);
    std::vector<std::byte> raw(of.raw_bytes());
    ASSERT_TRUE(DecodeFrame(want.coder, want.view, want.frame, raw));
    ASSERT_TRUE(
        std::ranges::equal(std::span(back->raw).subspan(block * raw.size(), raw.size()), raw))
        << "block " << block;
  }
}

TEST(FramePlanTest, MakesThePayloadsOfTheBlockCoder) {
  for (const char* name : {"fp8", "balanced", "q8q4", "kivi2", "raw/turbo3", "kitty", "polar",
                           "lossless", "compact", "compact2", "cachegen", "uniform4/lossless"}) {
    for (const FramePlacing placing : {FramePlacing::kFixed, FramePlacing::kPacked}) {
      SCOPED_TRACE(name);
      Counts counts;
      FrameCase first = CaseOf(name, AxisOrder::kNhd, 0);
      FrameCase later = CaseOf(name, AxisOrder::kHnd, 5000);
      first.placing = later.placing = placing;
      ExpectTheCodersBytes(first, counts);
      ExpectTheCodersBytes(later, counts);
    }
  }
}

TEST(FramePlanTest, MakesThemForRandomShapesAndValuesThatDoNotFit) {
  Counts counts;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    const FrameCase of = RandomFrameCase(seed, /*spoil=*/seed % 3 == 0);
    const auto plan = of.Plan();
    ASSERT_TRUE(plan);
    counts.packed += plan->packed() ? 1 : 0;
    counts.latents += of.shape.kind == GroupKind::kLatent ? 1 : 0;
    ExpectTheCodersBytes(of, counts);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(counts.packed, 50);
  EXPECT_GT(counts.latents, 10);
  EXPECT_GT(counts.fallbacks, 20);
}

// Payloads with flipped bytes, size tables most of all: each stream is refused exactly when the host refuses it, and gives the
// host's rows when not.
TEST(FramePlanTest, RefusesTheStreamsThatTheHostRefuses) {
  HostMachine machine;
  Counts counts;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    const FrameCase of = RandomFrameCase(seed, /*spoil=*/false);
    const auto plan = of.Plan();
    if (!plan->packed()) continue;
    FramePayloads in;
    in.bytes.resize(plan->payload_bytes() * of.blocks);
    std::vector<std::unique_ptr<Framed>> frames;
    std::mt19937_64 random(seed);
    const size_t streams = of.codecs().size();
    for (uint32_t block = 0; block < of.blocks; ++block) {
      frames.push_back(std::make_unique<Framed>(of, block));
      for (size_t stream = 0; stream < streams; ++stream) {
        in.placed.push_back(frames.back()->Placed(stream));
      }
      const auto payload = frames.back()->Payload();
      auto* out = in.bytes.data() + block * plan->payload_bytes();
      std::ranges::copy(payload, out);
      for (size_t stream = 0; stream < streams; ++stream) {
        const PlacedStream& placed = in.placed[block * streams + stream];
        if (random() % 2 == 0) continue;
        const uint64_t reach =
            random() % 2 == 0 ? placed.bytes : std::min<uint64_t>(16, placed.bytes);
        out[placed.offset + random() % reach] ^= static_cast<std::byte>(1 + random() % 255);
      }
    }
    const auto got = DecodeCase(machine, of, *plan, in);
    ASSERT_TRUE(got);
    for (uint32_t block = 0; block < of.blocks; ++block) {
      Framed& frame = *frames[block];
      std::vector<std::byte> raw(of.raw_bytes(), std::byte{0xA5});
      const std::vector<RawStream> raw_streams = RawStreams(of.shape);
      for (uint32_t stream = 0; stream < streams; ++stream) {
        const PlacedStream& placed = in.placed[block * streams + stream];
        const auto bytes = std::span<const std::byte>(in.bytes).subspan(
            block * plan->payload_bytes() + placed.offset, placed.bytes);
        const bool holds =
            frame.coder.DecodeStream(frame.view, stream, bytes, RawTarget(of.shape, raw));
        const auto flag = plan->FlagOf(stream, block, of.blocks);
        ASSERT_EQ(holds, !flag || got->refused[*flag] == 0) << "stream " << stream;
        ++(holds ? counts.held : counts.refused);
        if (!holds) continue;
        const RawStream& at = raw_streams[stream];
        ASSERT_TRUE(std::ranges::equal(
            std::span(got->raw).subspan(block * of.raw_bytes() + at.offset, at.bytes),
            std::span(raw).subspan(at.offset, at.bytes)))
            << "stream " << stream;
      }
    }
  }
  EXPECT_GT(counts.refused, 50);
  EXPECT_GT(counts.held, 50);
}

TEST(FramePlanTest, FindsTheFlagOfEveryCodedStream) {
  const FrameCase of = CaseOf("raw/turbo3", AxisOrder::kNhd, 5000);
  const auto plan = of.Plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->flags(), 7u);  // keys of the inner layers stay raw
  const auto codecs = of.codecs();
  std::vector<int> seen(size_t{plan->flags()} * of.blocks);
  for (uint32_t stream = 0; stream < codecs.size(); ++stream) {
    for (uint32_t block = 0; block < of.blocks; ++block) {
      const auto flag = plan->FlagOf(stream, block, of.blocks);
      ASSERT_EQ(flag.has_value(), codecs[stream].id != CodecId::kRaw);
      if (flag) ++seen[*flag];
    }
  }
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
}

TEST(FramePlanTest, PlansNothingThatDoesNotApply) {
  const KvShape shape = ShapeOf(AxisOrder::kNhd, 37);
  const auto all = [&](const char* plan) {
    const CodecPlan parsed = PlanNamed(plan);
    std::vector<StreamCodec> codecs;
    for (uint32_t i = 0; i < 2 * shape.layers; ++i) {
      codecs.push_back(i % 2 == 0 ? parsed.key : parsed.value);
    }
    return codecs;
  };
  EXPECT_FALSE(FramePlan::Create(shape, all("e4m3"), 0)->packed());
  EXPECT_TRUE(FramePlan::Create(shape, all("lossless"), 0)->packed());
  EXPECT_TRUE(FramePlan::Create(shape, all("e4m3"), 0, FramePlacing::kPacked)->packed());
  std::vector<StreamCodec> codecs = all("e4m3");
  codecs.pop_back();
  EXPECT_FALSE(FramePlan::Create(shape, codecs, 0));
  codecs = all("e4m3");
  codecs[3].params.sinks = 4;
  EXPECT_TRUE(FramePlan::Create(shape, codecs, 0));
  EXPECT_FALSE(FramePlan::Create(shape, codecs, 37));
  KvShape state = shape;
  state.kind = GroupKind::kState;
  EXPECT_FALSE(FramePlan::Create(state, all("e4m3"), 0));
}

TEST(FramePlanTest, BindsNothingThatMayNotBeLaunched) {
  const FrameCase of = CaseOf("lossless", AxisOrder::kNhd, 0);
  const auto plan = of.Plan();
  HostMachine machine;
  FrameBuffers<HostMachine> buffers(machine, of, *plan, plan->scratch_bytes(of.blocks), {});
  auto rows = machine.Put(of.raw);
  auto payloads = machine.Put(std::vector<std::byte>(plan->payload_bytes() * of.blocks));
  FrameMemory memory = buffers.memory;
  memory.rows = RawRowsAt(of.shape, rows.get());
  memory.payloads = payloads.get();
  memory.payload_stride = static_cast<int64_t>(plan->payload_bytes());
  EXPECT_TRUE(FramesHold(plan->BindEncode(memory), /*encode=*/true));
  EXPECT_FALSE(FramesHold(plan->BindEncode(memory), /*encode=*/false));
  for (const auto& spoil : std::vector<std::function<void(FrameMemory&)>>{
           [](FrameMemory& m) { m.scratch = nullptr; }, [](FrameMemory& m) { m.placed = nullptr; },
           [](FrameMemory& m) { m.payloads += 8; }, [](FrameMemory& m) { m.rows[1].base += 8; },
           [](FrameMemory& m) { m.blocks = 0; }}) {
    FrameMemory broken = memory;
    spoil(broken);
    EXPECT_FALSE(FramesHold(plan->BindEncode(broken), /*encode=*/true));
    EXPECT_FALSE(FramesHold(plan->BindDecode(broken), /*encode=*/false));
  }
}

}  // namespace
}  // namespace larder
