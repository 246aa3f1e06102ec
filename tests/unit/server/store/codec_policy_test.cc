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
}

TEST(CodecPolicyTest, GivesAModelItsOwnPlan) {
  Config config;
  config.codec_by_model = "small=raw,other=e5m2";
  EXPECT_EQ(CodecOf(config, "small").recipe.plan.name, "raw");
  EXPECT_EQ(CodecOf(config, "other").recipe.plan.name, "e5m2");
  EXPECT_EQ(CodecOf(config, "third").recipe.plan.name, "fp8");
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

TEST(CodecPolicyTest, KnowsTheRotationsThatCodecsKnow) {
  EXPECT_EQ(RopeParamsOf({.pairing = RopePairing::kNone}).pairing, 0);
  EXPECT_EQ(RopeParamsOf({.pairing = RopePairing::kInterleaved, .theta = 1e4}).pairing, 2);
  const RopeParams llama3 = RopeParamsOf({.pairing = RopePairing::kHalf,
                                          .theta = 5e5,
                                          .rotary_dim = 128,
                                          .scaling = "llama3",
                                          .scaling_factor = 8});
  EXPECT_EQ(llama3.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(llama3.scaling_factor, 8.0f);
  const RopeParams yarn =
      RopeParamsOf({.pairing = RopePairing::kHalf, .theta = 1e4, .scaling = "yarn"});
  EXPECT_EQ(yarn.pairing, 0);
}

TEST(CodecPolicyTest, ReadsModelPlansOrSaysNo) {
  EXPECT_EQ(ParseModelPlans("")->size(), 0u);
  EXPECT_EQ(ParseModelPlans("a=raw,b/c=fp8")->size(), 2u);
  for (const char* bad : {"a", "=raw", "a=", "a=raw,", "a=raw,a=fp8", "a=unknown"}) {
    EXPECT_FALSE(ParseModelPlans(bad)) << bad;
  }
}

}  // namespace
}  // namespace larder::server
