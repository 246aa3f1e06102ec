// Which codec a block is stored with: the operator's plan for its model, or the one that a put asks
// for, if the model's floor allows it.
//
// The operator's word is the gate: a model is stored below `near` only when the configuration names
// a plan for it that goes there. Immutable: thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/codec/block_coder.h"
#include "proto/contract/manifest.h"
#include "server/config.h"

namespace larder::server {

// A space's way to store blocks.
struct SpaceCodec {
  BlockRecipe recipe;
  // A put may ask for any plan of at least this fidelity.
  Fidelity fidelity_floor = Fidelity::kNear;
  // BlockRecipe::edge_layers of every plan below kNear, the space's own or one that a put asks for.
  uint16_t edge_layers = 0;
  // How they are to lie on SSD; none: as they are.
  std::optional<BlockRecipe> ssd_recipe;
};

class CodecPolicy {
 public:
  // `config` has been validated: every plan in it parses.
  explicit CodecPolicy(const Config& config);

  SpaceCodec Of(const Manifest& manifest, const LayerGroup& group) const;

  // The space's recipe with another plan; an empty name is the space's own. INVALID_ARGUMENT for an
  // unknown name, FAILED_PRECONDITION for one below the space's floor.
  //
  // Layers with a plan of their own keep it, unless the put's is of a higher fidelity.
  static absl::StatusOr<BlockRecipe> RecipeFor(const SpaceCodec& space, std::string_view plan_name);

 private:
  using ModelPlans = std::vector<std::pair<std::string, CodecPlan>>;

  CodecPlan plan_;
  ModelPlans plan_by_model_;
  std::optional<CodecPlan> ssd_plan_;
  ModelPlans ssd_plan_by_model_;
  std::vector<std::pair<std::string, LayerPlan>> layer_plans_;  // by model; empty: every model
  Fidelity fidelity_min_;
  uint16_t sinks_;
  uint16_t edge_layers_;
};

// The rotation of a manifest in the form that codecs use.
RopeParams RopeParamsOf(const Rope& rope);

}  // namespace larder::server
