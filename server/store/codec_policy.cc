#include "server/store/codec_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "proto/contract/outcomes.h"
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

}  // namespace

RopeParams RopeParamsOf(const Rope& rope) {
  return RopeParamsOf(RopeDescription{.pairing = RopePairingCode(rope.pairing),
                                      .rotary_dim = rope.rotary_dim,
                                      .theta = rope.theta,
                                      .scaling = rope.scaling,
                                      .scaling_factor = rope.scaling_factor,
                                      .attention_factor = rope.attention_factor});
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
  const auto rows = ParseLayerPlans(config.codec_layers);
  LARDER_CHECK(rows.has_value());
  for (const LayerPlanRow& row : *rows) {
    layer_plans_.emplace_back(row.model, LayerPlan{row.first, row.last, Parsed(row.plan)});
  }
  // The first row that names a layer counts: models before all.
  std::stable_partition(layer_plans_.begin(), layer_plans_.end(),
                        [](const auto& row) { return !row.first.empty(); });
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
  for (const auto& [model, plan] : layer_plans_) {
    if (model.empty() || model == manifest.model) codec.recipe.layer_plans.push_back(plan);
  }
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
    return CodecBelowFloor(plan_name, FidelityName(fidelity), FidelityName(space.fidelity_floor));
  }
  BlockRecipe recipe = space.recipe;
  recipe.plan = *std::move(plan);
  recipe.edge_layers = EdgeLayersOf(space, recipe.plan);
  std::erase_if(recipe.layer_plans,
                [&](const LayerPlan& row) { return FidelityOf(row.plan) < fidelity; });
  return recipe;
}

}  // namespace larder::server
