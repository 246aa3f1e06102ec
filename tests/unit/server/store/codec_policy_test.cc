#include "server/store/codec_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace larder::server {
namespace {

Manifest ModelOf(std::string name, uint32_t layers) {
  Manifest manifest;
  manifest.model = std::move(name);
  manifest.dtype = Dtype::kBf16;
  manifest.block_tokens = 32;
  manifest.rope = {.pairing = RopePairing::kHalf, .theta = 10'000, .rotary_dim = 64};
  LayerGroup group;
  group.kind = GroupKind::kAttention;
  group.layers = layers;
  manifest.groups.push_back(group);
  return manifest;
}

SpaceCodec CodecOf(const Config& config, const std::string& model, uint32_t layers = 32) {
  const Manifest manifest = ModelOf(model, layers);
  return CodecPolicy(config).Of(manifest, manifest.groups.front());
}

TEST(CodecPolicyTest, StoresNearExactlyUnlessToldOtherwise) {
  const SpaceCodec codec = CodecOf(Config(), "any");
  EXPECT_EQ(codec.recipe.plan.name, "fp8");
  EXPECT_EQ(codec.fidelity_floor, Fidelity::kNear);
  EXPECT_EQ(codec.recipe.sinks, 4);
  EXPECT_EQ(codec.recipe.edge_layers, 0);
  EXPECT_EQ(codec.recipe.full_tokens, 32u);
  EXPECT_EQ(codec.recipe.rope.pairing, 1);
  EXPECT_EQ(codec.recipe.rope.rotary_dim, 64);
}

TEST(CodecPolicyTest, GivesAModelItsOwnPlan) {
  Config config;
  config.codec_by_model = "small=raw,other=e5m2";
  EXPECT_EQ(CodecOf(config, "small").recipe.plan.name, "raw");
  EXPECT_EQ(CodecOf(config, "other").recipe.plan.name, "e5m2");
  EXPECT_EQ(CodecOf(config, "third").recipe.plan.name, "fp8");
}

TEST(CodecPolicyTest, SsdHasAPlanOfItsOwnOnlyWhenNamed) {
  EXPECT_FALSE(CodecOf(Config(), "any").ssd_recipe.has_value());
  Config config;
  config.ssd_codec_by_model = "small=compact";
  EXPECT_FALSE(CodecOf(config, "any").ssd_recipe.has_value());
  EXPECT_EQ(CodecOf(config, "small").ssd_recipe->plan.name, "compact");
  config.ssd_codec = "balanced";
  EXPECT_EQ(CodecOf(config, "small").ssd_recipe->plan.name, "compact");
  const SpaceCodec any = CodecOf(config, "any");
  EXPECT_EQ(any.ssd_recipe->plan.name, "balanced");
  // What holds for every plan below near-exact holds on SSD.
  EXPECT_EQ(any.ssd_recipe->edge_layers, config.codec_edge_layers);
  EXPECT_EQ(any.ssd_recipe->sinks, config.codec_sinks);
  // It does not change what a put may ask for.
  EXPECT_EQ(any.fidelity_floor, Fidelity::kNear);
}

TEST(CodecPolicyTest, RefusesPutsBelowTheFloorAndUnknownNames) {
  Config config;
  config.codec_fidelity_min = Fidelity::kExact;
  config.codec = "raw";
  const SpaceCodec exact = CodecOf(config, "any");
  EXPECT_EQ(exact.fidelity_floor, Fidelity::kExact);
  EXPECT_EQ(CodecPolicy::RecipeFor(exact, "fp8").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CodecPolicy::RecipeFor(exact, "fp9").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CodecPolicy::RecipeFor(exact, "")->plan.name, "raw");
  EXPECT_EQ(CodecPolicy::RecipeFor(exact, "raw")->plan.name, "raw");
  const SpaceCodec near = CodecOf(Config(), "any");
  EXPECT_EQ(CodecPolicy::RecipeFor(near, "e5m2")->plan.name, "e5m2");
}

TEST(CodecPolicyTest, KeepsTheEdgesOfLowerPlansThatAPutAsksFor) {
  Config config;
  config.codec_fidelity_min = Fidelity::kBalanced;
  const SpaceCodec space = CodecOf(config, "any");
  const BlockRecipe lower = CodecPolicy::RecipeFor(space, "balanced").value();
  EXPECT_EQ(lower.edge_layers, 2);
  EXPECT_EQ(lower.edge_plan.name, "fp8");
  EXPECT_EQ(CodecPolicy::RecipeFor(space, "e5m2")->edge_layers, 0);
  EXPECT_EQ(CodecPolicy::RecipeFor(CodecOf(config, "any", 4), "balanced")->edge_layers, 0);
}

TEST(CodecPolicyTest, ReadsModelPlansOrSaysNo) {
  EXPECT_EQ(ParseModelPlans("")->size(), 0u);
  EXPECT_EQ(ParseModelPlans("a=raw,b/c=fp8")->size(), 2u);
  for (const char* bad : {"a", "=raw", "a=", "a=raw,", "a=raw,a=fp8", "a=unknown"}) {
    EXPECT_FALSE(ParseModelPlans(bad)) << bad;
  }
}

TEST(CodecPolicyTest, GivesLayersTheirOwnPlansAndAModelsBeforeAll) {
  Config config;
  config.codec = "balanced";
  config.codec_layers = "0-1+30=raw,org/small/1-2=compact,other/0=fp8";
  EXPECT_TRUE(CodecOf(config, "third").recipe.layer_plans.size() == 2);
  const SpaceCodec small = CodecOf(config, "org/small");
  ASSERT_EQ(small.recipe.layer_plans.size(), 3u);
  EXPECT_EQ(small.recipe.layer_plans[0].plan.name, "compact");
  EXPECT_EQ(small.recipe.layer_plans[0].first, 1u);
  EXPECT_EQ(small.recipe.layer_plans[1].plan.name, "raw");
  EXPECT_EQ(small.recipe.layer_plans[2].last, 30u);
  // A put of a higher fidelity than a layer's plan takes that layer too, no other.
  const BlockRecipe higher = CodecPolicy::RecipeFor(small, "fp8").value();
  ASSERT_EQ(higher.layer_plans.size(), 2u);
  EXPECT_EQ(higher.layer_plans[0].plan.name, "raw");
}

TEST(CodecPolicyTest, ReadsLayerPlansOrSaysNo) {
  EXPECT_EQ(ParseLayerPlans("")->size(), 0u);
  EXPECT_EQ(ParseLayerPlans("0=raw,1-3+7=q8_0/q4_0,a/b/0-1=fp8")->size(), 4u);
  EXPECT_EQ(ParseLayerPlans("a/b/0-1=fp8")->front().model, "a/b");
  for (const char* bad : {"raw", "=raw", "0=", "0=raw,", "1-0=raw", "a=raw", "/0=raw",
                          "0=raw,0=fp8", "0-5=raw,3=fp8", "0=unknown", "-1=raw", "99999999=raw"}) {
    EXPECT_FALSE(ParseLayerPlans(bad)) << bad;
  }
}

}  // namespace
}  // namespace larder::server
