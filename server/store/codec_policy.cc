#include "server/store/codec_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/base/check.h"

namespace larder::server {
namespace {

constexpr std::string_view kEdgePlan = "fp8";

CodecPlan Parsed(std::string_view name) {
  std::string why;
  auto plan = ParsePlan(name, &why);
  LARDER_CHECK(plan.has_value());
  return *std::move(plan);
}

// Near-exact plans need no exceptions at the edges.
uint16_t EdgeLayersOf(const SpaceCodec& space, const CodecPlan& plan) {
  return FidelityOf(plan) < Fidelity::kNear ? space.edge_layers : 0;
}

std::string_view NameOf(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::kExact:
      return "exact";
    case Fidelity::kNear:
      return "near";
    case Fidelity::kBalanced:
      return "balanced";
    default:
      return "compact";
  }
}

}  // namespace

RopeParams RopeParamsOf(const Rope& rope) {
  RopeParams params;
  params.rotary_dim = static_cast<uint16_t>(std::min<uint32_t>(rope.rotary_dim, 0xFFFF));
  params.theta = rope.theta;
  params.scaling_factor = static_cast<float>(rope.scaling_factor);
  params.attention_factor = static_cast<float>(rope.attention_factor);
  if (rope.scaling.empty() || rope.scaling == "none") {
    params.scaling_factor = 1;
  } else if (rope.scaling == "linear") {
    params.scaling = RopeScaling::kLinear;
  } else if (rope.scaling == "ntk") {
    params.scaling = RopeScaling::kNtk;
  } else if (rope.scaling == "llama3") {
    params.scaling = RopeScaling::kLlama3;
  } else {
    return {};
  }
  // Engines that do not use a factor may leave it at 0.
  if (params.attention_factor == 0) params.attention_factor = 1;
  if (rope.pairing == RopePairing::kHalf) params.pairing = 1;
  if (rope.pairing == RopePairing::kInterleaved) params.pairing = 2;
  return params;
}

CodecPolicy::CodecPolicy(const Config& config)
    : plan_(Parsed(config.codec)),
      fidelity_min_(config.codec_fidelity_min),
      sinks_(static_cast<uint16_t>(config.codec_sinks)),
      edge_layers_(static_cast<uint16_t>(config.codec_edge_layers)) {
  const auto pairs = ParseModelPlans(config.codec_by_model);
  LARDER_CHECK(pairs.has_value());
  for (const auto& [model, plan] : *pairs) {
    plan_by_model_.emplace_back(model, Parsed(plan));
  }
}

SpaceCodec CodecPolicy::Of(const Manifest& manifest, const LayerGroup& group) const {
  SpaceCodec codec;
  const auto named = std::find_if(plan_by_model_.begin(), plan_by_model_.end(),
                                  [&](const auto& row) { return row.first == manifest.model; });
  codec.recipe.plan = named == plan_by_model_.end() ? plan_ : named->second;
  codec.recipe.rope = RopeParamsOf(manifest.rope);
  codec.recipe.sinks = sinks_;
  codec.recipe.full_tokens = manifest.block_tokens;
  codec.fidelity_floor = std::min(fidelity_min_, FidelityOf(codec.recipe.plan));
  codec.recipe.edge_plan = Parsed(kEdgePlan);
  if (group.layers > 2u * edge_layers_) codec.edge_layers = edge_layers_;
  codec.recipe.edge_layers = EdgeLayersOf(codec, codec.recipe.plan);
  return codec;
}

absl::StatusOr<BlockRecipe> CodecPolicy::RecipeFor(const SpaceCodec& space,
                                                   std::string_view plan_name) {
  if (plan_name.empty() || plan_name == space.recipe.plan.name) return space.recipe;
  std::string why;
  auto plan = ParsePlan(plan_name, &why);
  if (!plan) return InvalidField("open.codec", plan_name, why);
  const Fidelity fidelity = FidelityOf(*plan);
  if (fidelity < space.fidelity_floor) {
    return CodecBelowFloor(plan_name, NameOf(fidelity), NameOf(space.fidelity_floor));
  }
  BlockRecipe recipe = space.recipe;
  recipe.plan = *std::move(plan);
  recipe.edge_layers = EdgeLayersOf(space, recipe.plan);
  return recipe;
}

}  // namespace larder::server
