// Payloads of whole blocks by the steps of a plan, run on the host: the bytes of BlockCoder, and its decoding of them.
#include "kernels/codec/device/frame_plan.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/codec/block_coder.h"
#include "kernels/codec/number_formats.h"
#include "tests/gpu/host_machine.h"

namespace larder {
namespace {

constexpr uint32_t kBlocks = 2;

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

// Blocks and what BlockCoder makes of them.
struct Blocks {
  Blocks(const KvShape& of, const char* plan, uint64_t token_begin) : shape(of) {
    std::mt19937_64 random(7);
    std::normal_distribution<float> normal;
    BlockRecipe recipe;
    std::string why;
    recipe.plan = *ParsePlan(plan, &why);
    recipe.edge_plan = *ParsePlan("fp8", &why);
    recipe.edge_layers = 1;
    recipe.sinks = 4;
    recipe.rope.pairing = 1;
    recipe.rope.rotary_dim = static_cast<uint16_t>(shape.head_dim_k);
    recipe.rope.theta = 10'000;
    FrameIdentity identity;
    identity.prefix_hash_bytes = 32;
    identity.token_begin = token_begin;
    for (uint32_t block = 0; block < kBlocks; ++block) {
      auto& elements = raw.emplace_back(*RawBytes(shape) / 2);
      for (uint16_t& element : elements) element = Bf16OfFloat(normal(random));
      frames.push_back(coder.Encode(recipe, identity, shape, Bytes(block)).frame);
      EXPECT_EQ(FrameView::Parse(frames.back(), &views[block]), FrameFault::kNone);
    }
    for (const StreamEntry& stream : views[0].streams()) {
      codecs.push_back(*ReadDescriptor(views[0].descriptors()[stream.descriptor]));
    }
  }
  std::span<std::byte> Bytes(uint32_t block) {
    return std::as_writable_bytes(std::span(raw[block]));
  }
  std::span<const std::byte> Payload(uint32_t block) const {
    return std::span(frames[block]).subspan(views[block].streams()[0].offset);
  }

  KvShape shape;
  BlockCoder coder;
  std::vector<std::vector<uint16_t>> raw;
  std::vector<std::vector<std::byte>> frames;
  FrameView views[kBlocks];
  std::vector<StreamCodec> codecs;
};

// Rows of raw blocks that stand one after the other at `base`.
std::array<RunRows, kFrameKindsMax> RawRowsAt(const KvShape& shape, uint8_t* base) {
  std::array<RunRows, kFrameKindsMax> rows;
  const uint64_t keys = *RawStreamBytes(shape, StreamKind::kKey);
  const uint64_t values = *RawStreamBytes(shape, StreamKind::kValue);
  const bool hnd = shape.axis_order == AxisOrder::kHnd;
  for (size_t kind = 0; kind < 2; ++kind) {
    const int64_t row = (kind == 0 ? shape.head_dim_k : shape.head_dim_v) * 2;
    rows[kind].base = base + (kind == 0 ? 0 : keys);
    rows[kind].block_stride = static_cast<int64_t>(*RawBytes(shape));
    rows[kind].stream_stride = static_cast<int64_t>(keys + values);
    rows[kind].head_stride = hnd ? row * shape.tokens : row;
    rows[kind].token_stride = hnd ? row : row * shape.kv_heads;
  }
  return rows;
}

void Encode(HostMachine& machine, const BoundFrames& frames) {
  for (const TileRun& run : frames.runs) ASSERT_TRUE(machine.Encode(run));
  for (const RowCopy& copy : frames.copies) ASSERT_TRUE(machine.Copy(copy));
  for (const FrameClear& clear : frames.clears) {
    for (uint32_t at = 0; at < frames.blocks * clear.streams; ++at) {
      std::memset(clear.base + at / clear.streams * clear.block_stride +
                      at % clear.streams * clear.stream_stride,
                  0, clear.bytes);
    }
  }
}

void Decode(HostMachine& machine, const BoundFrames& frames) {
  for (const TileRun& run : frames.runs) ASSERT_TRUE(machine.Decode(run));
  for (RowCopy copy : frames.copies) {
    std::swap(copy.from, copy.to);
    ASSERT_TRUE(machine.Copy(copy));
  }
}

void ExpectSameBytes(const char* name, AxisOrder order, uint64_t token_begin) {
  SCOPED_TRACE(name);
  Blocks blocks(ShapeOf(order, 37), name, token_begin);
  const auto plan = FramePlan::Create(blocks.shape, blocks.codecs, token_begin);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->payload_bytes(), blocks.Payload(0).size());
  HostMachine machine;
  std::vector<std::byte> raw;
  for (uint32_t block = 0; block < kBlocks; ++block) {
    raw.insert(raw.end(), blocks.Bytes(block).begin(), blocks.Bytes(block).end());
  }
  auto image = machine.Put(plan->image());
  auto rows = machine.Put(raw);
  std::vector<std::byte> payloads(plan->payload_bytes() * kBlocks, std::byte{0xA5});
  auto encoded = machine.Put(payloads);
  std::vector<uint32_t> refused(size_t{plan->flags()} * kBlocks, 7);
  auto flags = machine.Put(std::as_bytes(std::span(refused)));
  FrameMemory memory;
  memory.rows = RawRowsAt(blocks.shape, rows.get());
  memory.payloads = encoded.get();
  memory.payload_stride = static_cast<int64_t>(plan->payload_bytes());
  memory.blocks = kBlocks;
  memory.image = image.get();
  memory.refused = reinterpret_cast<uint32_t*>(flags.get());
  Encode(machine, plan->Bind(memory));
  machine.Get(encoded, payloads);
  machine.Get(flags, std::as_writable_bytes(std::span(refused)));
  EXPECT_EQ(refused, std::vector<uint32_t>(refused.size()));
  for (uint32_t block = 0; block < kBlocks; ++block) {
    const auto got = std::span<const std::byte>(payloads).subspan(block * plan->payload_bytes(),
                                                                  plan->payload_bytes());
    ASSERT_TRUE(std::ranges::equal(got, blocks.Payload(block))) << "block " << block;
  }

  auto back = machine.Put(std::vector<std::byte>(raw.size(), std::byte{0xA5}));
  memory.rows = RawRowsAt(blocks.shape, back.get());
  Decode(machine, plan->Bind(memory));
  machine.Get(back, raw);
  for (uint32_t block = 0; block < kBlocks; ++block) {
    std::vector<std::byte> want(blocks.Bytes(block).size());
    ASSERT_TRUE(DecodeFrame(blocks.coder, blocks.views[block], blocks.frames[block], want));
    const auto got = std::span<const std::byte>(raw).subspan(block * want.size(), want.size());
    ASSERT_TRUE(std::ranges::equal(got, want)) << "block " << block;
  }
}

TEST(FramePlanTest, MakesThePayloadsOfTheBlockCoder) {
  for (const char* plan : {"fp8", "balanced", "q8q4", "kivi2", "raw/turbo3", "kitty", "polar"}) {
    ExpectSameBytes(plan, AxisOrder::kNhd, 0);
    ExpectSameBytes(plan, AxisOrder::kHnd, 5000);
  }
}

TEST(FramePlanTest, FindsTheFlagOfEveryCodedStream) {
  Blocks blocks(ShapeOf(AxisOrder::kNhd, 37), "raw/turbo3", 5000);
  const auto plan = FramePlan::Create(blocks.shape, blocks.codecs, 5000);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->flags(), 7u);  // keys of the inner layers stay raw
  std::vector<int> seen(size_t{plan->flags()} * kBlocks);
  for (uint32_t stream = 0; stream < blocks.codecs.size(); ++stream) {
    for (uint32_t block = 0; block < kBlocks; ++block) {
      const auto flag = plan->FlagOf(stream, block, kBlocks);
      ASSERT_EQ(flag.has_value(), blocks.codecs[stream].id != CodecId::kRaw);
      if (flag) ++seen[*flag];
    }
  }
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
}

TEST(FramePlanTest, PlansNothingWhoseSizeVariesOrThatDoesNotApply) {
  const KvShape shape = ShapeOf(AxisOrder::kNhd, 37);
  std::string why;
  const auto all = [&](const char* plan) {
    const CodecPlan parsed = *ParsePlan(plan, &why);
    std::vector<StreamCodec> codecs;
    for (uint32_t i = 0; i < 2 * shape.layers; ++i) {
      codecs.push_back(i % 2 == 0 ? parsed.key : parsed.value);
    }
    return codecs;
  };
  EXPECT_TRUE(FramePlan::Create(shape, all("e4m3"), 0));
  EXPECT_FALSE(FramePlan::Create(shape, all("lossless"), 0));
  EXPECT_FALSE(FramePlan::Create(shape, all("uniform3"), 0));
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

}  // namespace
}  // namespace larder
