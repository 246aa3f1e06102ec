#include "kernels/codec/block_coder.h"

#include <gtest/gtest.h>

#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder {
namespace {

FrameView Parsed(const std::vector<std::byte>& frame) {
  FrameView view;
  EXPECT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
  EXPECT_EQ(CheckCodecs(view), FrameFault::kNone);
  FrameVerifier verifier(view);
  verifier.Update(std::span(frame).subspan(view.header().header_bytes));
  EXPECT_EQ(verifier.Finish(), FrameFault::kNone);
  return view;
}

std::vector<std::byte> Decoded(const std::vector<std::byte>& frame) {
  const FrameView view = Parsed(frame);
  std::vector<std::byte> raw(view.header().raw_bytes);
  BlockCoder coder;
  EXPECT_TRUE(DecodeFrame(coder, view, frame, raw));
  return raw;
}

TEST(BlockCoderTest, RawPlanGivesTheRawFrame) {
  const KvShape shape = AttentionShape();
  const auto raw = GaussianBlock(shape, 1);
  BlockCoder coder;
  const EncodedBlock block = coder.Encode(RecipeOf("raw"), IdentityAt(64), shape, raw);
  const auto header = BuildRawFrameHeader(IdentityAt(64), shape, raw);
  ASSERT_EQ(block.frame.size(), RawFrameBytes(shape));
  EXPECT_TRUE(std::equal(header.begin(), header.end(), block.frame.begin()));
  EXPECT_EQ(block.coded_streams, 0u);
  EXPECT_EQ(Decoded(block.frame), raw);
}

TEST(BlockCoderTest, AxisOrderChangesNoCode) {
  const KvShape nhd = AttentionShape(40, 64, AxisOrder::kNhd);
  const KvShape hnd = AttentionShape(40, 64, AxisOrder::kHnd);
  const auto raw = GaussianBlock(nhd, 2);
  std::vector<std::byte> turned(raw.size());
  const RawTarget to(hnd, turned);
  for (const RawStream& stream : RawStreams(nhd)) {
    for (uint32_t head = 0; head < nhd.kv_heads; ++head) {
      const TargetRows rows = to.Rows(stream.kind, stream.layer, head);
      for (uint32_t t = 0; t < nhd.tokens; ++t) {
        const size_t row = (size_t{t} * nhd.kv_heads + head) * 128;
        std::memcpy(rows.Row(t), raw.data() + stream.offset + row, 128);
      }
    }
  }
  BlockCoder coder;
  const auto left = coder.Encode(RecipeOf("fp8"), IdentityAt(64), nhd, raw);
  const auto right = coder.Encode(RecipeOf("fp8"), IdentityAt(64), hnd, turned);
  const FrameView a = Parsed(left.frame), b = Parsed(right.frame);
  for (size_t i = 0; i < a.streams().size(); ++i) {
    EXPECT_EQ(a.streams()[i].checksum, b.streams()[i].checksum);
  }
  const auto back = Decoded(left.frame);
  std::vector<std::byte> back_turned(raw.size());
  BlockCoder decoder;
  ASSERT_TRUE(DecodeFrame(decoder, b, right.frame, back_turned));
  EXPECT_EQ(std::memcmp(back.data(), back_turned.data(), 128), 0);  // token 0, head 0
}

// Manifests may name any rotation; what is written must be readable all the same.
TEST(BlockCoderTest, RotationsThatReadersRefuseAreLeftAlone) {
  const KvShape shape = AttentionShape();
  const auto raw = GaussianBlock(shape, 8);
  BlockRecipe recipe = RecipeOf("fp8");
  const RopeParams good{1, 64, 10'000, RopeScaling::kLinear, 2, 1};
  recipe.rope = good;
  BlockCoder coder;
  const auto turned = coder.Encode(recipe, IdentityAt(64), shape, raw);
  ASSERT_EQ(CheckCodecs(Parsed(turned.frame)), FrameFault::kNone);
  std::vector<RopeParams> odd(7, good);
  odd[0].rotary_dim = 24;  // GPT-NeoX-20B
  odd[1].rotary_dim = 80;  // beyond the head
  odd[2].theta = 0.5;
  odd[3].scaling_factor = 0.25;
  odd[4].attention_factor = 1e6;
  odd[5].theta = 1e300;
  odd[6].pairing = 3;
  for (size_t i = 0; i < odd.size(); ++i) {
    recipe.rope = odd[i];
    const auto block = coder.Encode(recipe, IdentityAt(64), shape, raw);
    EXPECT_EQ(block.coded_streams, 6u) << i;
    EXPECT_EQ(CheckCodecs(Parsed(block.frame)), FrameFault::kNone) << i;
  }
  recipe.rope = good;
  for (const uint64_t begin : {kRopePositionsMax - 39, ~uint64_t{0}}) {
    const auto block = coder.Encode(recipe, IdentityAt(begin), shape, raw);
    EXPECT_EQ(block.coded_streams, 6u) << begin;
    EXPECT_EQ(CheckCodecs(Parsed(block.frame)), FrameFault::kNone) << begin;
  }
}

TEST(BlockCoderTest, SinksStayRawInTheFirstBlockOnly) {
  const KvShape shape = AttentionShape();
  const auto raw = GaussianBlock(shape, 3);
  BlockRecipe recipe = RecipeOf("fp8");
  recipe.sinks = 4;
  BlockCoder coder;
  const auto first = coder.Encode(recipe, IdentityAt(0), shape, raw);
  const auto later = coder.Encode(recipe, IdentityAt(40), shape, raw);
  const auto first_raw = Decoded(first.frame), later_raw = Decoded(later.frame);
  const size_t sink_bytes = size_t{4} * shape.kv_heads * 128;
  EXPECT_EQ(std::memcmp(first_raw.data(), raw.data(), sink_bytes), 0);
  EXPECT_NE(std::memcmp(later_raw.data(), raw.data(), sink_bytes), 0);
  EXPECT_GT(first.frame.size(), later.frame.size());
}

TEST(BlockCoderTest, TailsAndEdgeLayersFollowTheRecipe) {
  const KvShape shape = AttentionShape();
  const auto raw = GaussianBlock(shape, 4);
  BlockRecipe recipe = RecipeOf("fp8");
  recipe.full_tokens = 64;
  BlockCoder coder;
  EXPECT_EQ(coder.Encode(recipe, IdentityAt(64), shape, raw).coded_streams, 0u);
  recipe.full_tokens = 40;
  EXPECT_EQ(coder.Encode(recipe, IdentityAt(64), shape, raw).coded_streams, 6u);
  recipe.edge_layers = 1;
  std::string why;
  recipe.edge_plan = *ParsePlan("raw", &why);
  const auto block = coder.Encode(recipe, IdentityAt(64), shape, raw);
  EXPECT_EQ(block.coded_streams, 2u);
  EXPECT_EQ(Parsed(block.frame).fidelity(), Fidelity::kNear);
}

TEST(BlockCoderTest, LayersMayHavePlansOfTheirOwn) {
  const KvShape shape = AttentionShape();  // layers 2 to 4
  const auto raw = GaussianBlock(shape, 4);
  BlockRecipe recipe = RecipeOf("fp8");
  std::string why;
  recipe.edge_layers = 1;
  recipe.edge_plan = *ParsePlan("e5m2", &why);
  recipe.layer_plans = {{0, 2, *ParsePlan("raw", &why)}, {2, 3, *ParsePlan("q4_0", &why)}};
  BlockCoder coder;
  const auto block = coder.Encode(recipe, IdentityAt(64), shape, raw);
  EXPECT_EQ(block.coded_streams, 4u);
  const FrameView view = Parsed(block.frame);
  const auto id = [&](size_t stream) {
    return ReadDescriptor(view.descriptors()[view.streams()[stream].descriptor])->id;
  };
  EXPECT_EQ(id(0), CodecId::kRaw);   // layer 2: the first row
  EXPECT_EQ(id(2), CodecId::kGgml);  // layer 3: the second
  EXPECT_EQ(id(4), CodecId::kFp8);   // layer 4: the edge
  recipe = RecipeOf("raw");
  EXPECT_FALSE(BlockCoder::WouldCode(recipe, shape, 40, 64));
  recipe.layer_plans = {{4, 4, *ParsePlan("fp8", &why)}};
  EXPECT_TRUE(BlockCoder::WouldCode(recipe, shape, 40, 64));
}

TEST(BlockCoderTest, ValuesThatCanNotBeCodedStayRawAndAreCounted) {
  const KvShape shape = AttentionShape();
  auto raw = GaussianBlock(shape, 5);
  const uint16_t infinity = 0x7F80;
  std::memcpy(raw.data() + 10, &infinity, 2);
  BlockCoder coder;
  const auto block = coder.Encode(RecipeOf("fp8"), IdentityAt(64), shape, raw);
  EXPECT_EQ(block.fallback_streams, 1u);
  EXPECT_EQ(block.coded_streams, 5u);
  const auto back = Decoded(block.frame);
  EXPECT_EQ(std::memcmp(back.data(), raw.data(), RawStreams(shape)[0].bytes), 0);
}

TEST(BlockCoderTest, OtherGroupKindsPassThrough) {
  KvShape latent;
  latent.kind = GroupKind::kLatent;
  latent.dtype = Dtype::kBf16;
  latent.axis_order = AxisOrder::kNhd;
  latent.layers = 2;
  latent.kv_heads = 1;
  latent.head_dim_k = 512;
  latent.head_dim_v = 64;
  latent.tokens = 16;
  const auto raw = GaussianBlock(latent, 6);
  BlockCoder coder;
  const auto block = coder.Encode(RecipeOf("fp8"), IdentityAt(64), latent, raw);
  EXPECT_EQ(block.coded_streams, 2u);  // the latents; rope parts stay exact
  const auto back = Decoded(block.frame);
  for (const RawStream& stream : RawStreams(latent)) {
    if (stream.kind != StreamKind::kRope) continue;
    EXPECT_EQ(std::memcmp(back.data() + stream.offset, raw.data() + stream.offset, stream.bytes),
              0);
  }

  KvShape state = latent;
  state.kind = GroupKind::kState;
  state.dtype = Dtype::kFp32;
  state.unit_bytes = 100;
  const auto snapshot = GaussianBlock(state, 7);
  const auto kept = coder.Encode(RecipeOf("fp8"), IdentityAt(64), state, snapshot);
  EXPECT_EQ(Decoded(kept.frame), snapshot);

  KvShape rows = latent;
  rows.kind = GroupKind::kOpaque;
  rows.dtype = Dtype::kUint8;
  rows.unit_bytes = 656;  // MLA latents in fp8 with their scales
  const auto pages = GaussianBlock(rows, 8);
  EXPECT_EQ(Decoded(coder.Encode(RecipeOf("fp8"), IdentityAt(64), rows, pages).frame), pages);
}

TEST(BlockCoderTest, DecodesIntoPages) {
  const KvShape shape = AttentionShape(40, 64);
  const auto raw = GaussianBlock(shape, 9);
  BlockCoder coder;
  const auto block = coder.Encode(RecipeOf("fp8"), IdentityAt(64), shape, raw);
  const FrameView view = Parsed(block.frame);
  const auto want = Decoded(block.frame);

  // Pages of 16 tokens, [page][kind][token][head][dim] of one layer, in shuffled order.
  class PagedTarget final : public StreamTarget {
   public:
    TargetRows Rows(StreamKind kind, uint32_t layer, uint32_t head) const override {
      TargetRows rows;
      const size_t kind_bytes = 16 * 2 * 128;
      rows.base = const_cast<std::byte*>(memory.data()) + (layer - 2) * (5 * 2 * kind_bytes) +
                  (kind == StreamKind::kValue ? kind_bytes : 0) + head * 128;
      rows.token_stride = 2 * 128;
      rows.pages = pages;
      rows.page_tokens = 16;
      rows.page_stride = 2 * kind_bytes;
      return rows;
    }
    const int32_t pages[3] = {4, 0, 2};
    std::vector<std::byte> memory = std::vector<std::byte>(3 * 5 * 2 * 16 * 2 * 128);
  };
  const PagedTarget target;
  for (size_t i = 0; i < view.streams().size(); ++i) {
    const StreamEntry& stream = view.streams()[i];
    const auto bytes = std::span(block.frame).subspan(stream.offset, stream.bytes);
    ASSERT_TRUE(coder.DecodeStream(view, i, bytes, target));
  }
  std::vector<std::byte> flat(want.size());
  const RawTarget raw_target(shape, flat);
  for (const RawStream& stream : RawStreams(shape)) {
    for (uint32_t head = 0; head < shape.kv_heads; ++head) {
      const TargetRows from = target.Rows(stream.kind, stream.layer, head);
      const TargetRows to = raw_target.Rows(stream.kind, stream.layer, head);
      for (uint32_t t = 0; t < shape.tokens; ++t) std::memcpy(to.Row(t), from.Row(t), 128);
    }
  }
  EXPECT_EQ(flat, want);
}

// Codecs of varying size begin their streams with a table of tile sizes.
TEST(BlockCoderTest, StreamsOfVaryingSizeRoundTrip) {
  for (const char* plan : {"lossless", "compact", "compact2", "cachegen"}) {
    SCOPED_TRACE(plan);
    const KvShape shape = AttentionShape();
    const auto raw = GaussianBlock(shape, 10);
    BlockRecipe recipe = RecipeOf(plan);
    recipe.sinks = 4;
    BlockCoder simd, scalar(Isa::kScalar);
    const auto block = simd.Encode(recipe, IdentityAt(0), shape, raw);
    EXPECT_EQ(block.coded_streams, 6u);
    EXPECT_LT(block.frame.size(), raw.size());
    EXPECT_EQ(scalar.Encode(recipe, IdentityAt(0), shape, raw).frame, block.frame);
    const auto back = Decoded(block.frame);
    EXPECT_EQ(back == raw, std::string_view(plan) == "lossless");
    EXPECT_EQ(std::memcmp(back.data(), raw.data(), size_t{4} * shape.kv_heads * 128), 0);
  }
}

TEST(BlockCoderTest, RefusesTilesThatDoNotFillTheirStream) {
  const KvShape shape = AttentionShape();
  BlockCoder coder;
  const auto block =
      coder.Encode(RecipeOf("lossless"), IdentityAt(64), shape, GaussianBlock(shape, 11));
  const FrameView view = Parsed(block.frame);
  const StreamEntry& stream = view.streams()[0];
  std::vector<std::byte> bytes(stream.bytes);
  std::memcpy(bytes.data(), block.frame.data() + stream.offset, stream.bytes);
  std::vector<std::byte> out(RawBytes(shape).value());
  const RawTarget target(shape, out);
  EXPECT_TRUE(coder.DecodeStream(view, 0, bytes, target));
  uint32_t sizes[2];
  std::memcpy(sizes, bytes.data(), sizeof(sizes));
  for (const uint32_t size : {0u, 1u, sizes[0] - 16, sizes[0] + 16, 0xFFFFFFFFu}) {
    for (const size_t head : {0, 1}) {
      std::vector<std::byte> damaged = bytes;
      std::memcpy(damaged.data() + head * 4, &size, 4);
      EXPECT_FALSE(coder.DecodeStream(view, 0, damaged, target)) << size;
    }
  }
}

}  // namespace
}  // namespace larder
