#include "kernels/codec/block_recipe.h"

#include <gtest/gtest.h>

#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder {
namespace {

CodecPlan PlanNamed(const char* name) {
  std::string why;
  return ParsePlan(name, &why).value();
}

TEST(BlockRecipeTest, NamesTheCodecsThatTheCoderUses) {
  const KvShape shape = AttentionShape();
  BlockRecipe recipe = RecipeOf("balanced");
  recipe.edge_plan = PlanNamed("fp8");
  recipe.edge_layers = 1;
  recipe.layer_plans.push_back({4, 4, PlanNamed("raw")});
  recipe.sinks = 4;
  for (const uint64_t token_begin : {0, 64}) {
    const auto codecs = CodecsOf(recipe, shape, token_begin);
    BlockCoder coder;
    const auto frame =
        coder.Encode(recipe, IdentityAt(token_begin), shape, GaussianBlock(shape, 1)).frame;
    FrameView view;
    ASSERT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
    ASSERT_EQ(codecs.size(), view.streams().size());
    for (size_t i = 0; i < codecs.size(); ++i) {
      EXPECT_EQ(codecs[i], ReadDescriptor(view.descriptors()[view.streams()[i].descriptor]));
    }
    EXPECT_EQ(codecs[0].params.sinks, token_begin == 0 ? 4 : 0);
    EXPECT_EQ(codecs[4].id, CodecId::kRaw);  // layer 4 has a plan of its own
    EXPECT_NE(codecs[2], codecs[0]);         // an inner and an outer layer
  }
}

TEST(BlockRecipeTest, StoresGrowingTailsRaw) {
  BlockRecipe recipe = RecipeOf("fp8");
  recipe.full_tokens = 41;
  for (const StreamCodec& codec : CodecsOf(recipe, AttentionShape(40), 0)) {
    EXPECT_EQ(codec.id, CodecId::kRaw);
  }
}

}  // namespace
}  // namespace larder
