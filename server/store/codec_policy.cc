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

// Of a text that has been validated.
std::vector<std::pair<std::string, CodecPlan>> ParsedByModel(std::string_view text) {
  const auto pairs = ParseModelPlans(text);
  LARDER_CHECK(pairs.has_value());
  std::vector<std::pair<std::string, CodecPlan>> plans;
  for (const auto& [model, plan] : *pairs) plans.emplace_back(model, Parsed(plan));
  return plans;
}

// The plan of a model, or that of all; null when neither is named.
const CodecPlan* PlanOf(const std::vector<std::pair<std::string, CodecPlan>>& by_model,
                        const CodecPlan* of_all, std::string_view model) {
  const auto named = std::find_if(by_model.begin(), by_model.end(),
                                  [&](const auto& row) { return row.first == model; });
  return named == by_model.end() ? of_all : &named->second;
}

// Near-exact plans need no exceptions at the edges.
uint16_t EdgeLayersOf(const SpaceCodec& space, const CodecPlan& plan) {
  return FidelityOf(plan) < Fidelity::kNear ? space.edge_layers : 0;
}

// Layers with a plan of their own keep it, unless the other is of a higher fidelity.
BlockRecipe WithPlan(const SpaceCodec& space, CodecPlan plan) {
  BlockRecipe recipe = space.recipe;
  recipe.plan = std::move(plan);
  recipe.edge_layers = EdgeLayersOf(space, recipe.plan);
  std::erase_if(recipe.layer_plans, [&](const LayerPlan& row) {
    return FidelityOf(row.plan) < FidelityOf(recipe.plan);
  });
  return recipe;
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
      plan_by_model_(ParsedByModel(config.codec_by_model)),
      ssd_plan_by_model_(ParsedByModel(config.ssd_codec_by_model)),
      fidelity_min_(config.codec_fidelity_min),
      sinks_(static_cast<uint16_t>(config.codec_sinks)),
      edge_layers_(static_cast<uint16_t>(config.codec_edge_layers)) {
  if (!config.ssd_codec.empty()) ssd_plan_ = Parsed(config.ssd_codec);
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
  codec.recipe.plan = *PlanOf(plan_by_model_, &plan_, manifest.model);
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
  const CodecPlan* const ssd_plan =
      PlanOf(ssd_plan_by_model_, ssd_plan_ ? &*ssd_plan_ : nullptr, manifest.model);
  if (ssd_plan != nullptr) codec.ssd_recipe = WithPlan(codec, *ssd_plan);
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
  return WithPlan(space, *std::move(plan));
}

}  // namespace larder::server
