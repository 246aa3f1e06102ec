#include "client/cli/codec_sizes.h"

#include <gtest/gtest.h>

#include "client/cli/models.h"
#include "kernels/codec/block_coder.h"

namespace larder::cli {
namespace {

SizeOptions Llama3() {
  const Manifest manifest = ManifestOf(FindModelPreset("llama-3-8b").value(), 256);
  SizeOptions options;
  options.shape = ShapeOf(manifest, manifest.groups.front());
  return options;
}

PlanSize SizeOf(std::string_view name) {
  std::string why;
  return cli::SizeOf(ParsePlan(name, &why).value(), Llama3()).value();
}

TEST(CodecSizesTest, TokensOfLlama3TakeTheBytesOfTheTable) {
  const struct {
    const char* name;
    double bytes;
  } rows[] = {{"raw", 131'072},   {"e4m3", 65'536},      {"q8q4", 53'248},   {"q4_0", 36'864},
              {"turbo4", 33'792}, {"polar", 31'744},     {"turbo3", 25'600}, {"kivi2_g32", 24'576},
              {"kitty", 19'712},  {"kivi2_g128", 18'432}};
  for (const auto& row : rows) EXPECT_EQ(SizeOf(row.name).token_bytes, row.bytes) << row.name;
  EXPECT_EQ(SizeOf("e4m3").block_bytes, 16u * 2 * 32 * 8);  // a scale of 16 bytes per head
}

// The parts add up to frames that the coder really makes.
TEST(CodecSizesTest, AddsUpToTheFramesOfASequence) {
  SizeOptions options = Llama3();
  options.shape.layers = 2;
  options.shape.tokens = 32;
  options.tokens = 2 * 32 + 5;
  BlockRecipe recipe;
  std::string why;
  recipe.plan = ParsePlan("q8q4", &why).value();
  recipe.sinks = 4;
  recipe.full_tokens = 32;
  BlockCoder coder;
  uint64_t total = 0;
  for (const auto& [begin, tokens] : {std::pair{0u, 32u}, {32u, 32u}, {64u, 5u}}) {
    KvShape shape = options.shape;
    shape.tokens = tokens;
    FrameIdentity identity;
    identity.prefix_hash_bytes = 32;
    identity.token_begin = begin;
    const std::vector<std::byte> raw(RawBytes(shape).value());
    total += coder.Encode(recipe, identity, shape, raw).frame.size();
  }
  EXPECT_EQ(cli::SizeOf(recipe.plan, options)->total_bytes, total);
}

TEST(CodecSizesTest, LeavesOutWhatVaries) {
  std::string why;
  EXPECT_FALSE(cli::SizeOf(ParsePlan("compact", &why).value(), Llama3()));
  const auto sizes = SizesOfPlans(Llama3());
  EXPECT_EQ(sizes.front().name, "raw");
  EXPECT_GT(sizes.size(), 20u);
  EXPECT_NE(SizesText(Llama3(), sizes).find("53248"), std::string::npos);
}

}  // namespace
}  // namespace larder::cli
