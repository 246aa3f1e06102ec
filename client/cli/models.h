// Model geometries by name, as manifests; and the stated model of what prefill costs. Pure
// functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/contract/manifest.h"

namespace larder::cli {

struct ModelPreset {
  std::string_view name;   // as --model takes it
  std::string_view model;  // as the manifest carries it
  GroupKind kind = GroupKind::kAttention;
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim_k = 0;  // latent dimension for kLatent
  uint32_t head_dim_v = 0;  // RoPE dimension for kLatent
  Rope rope;
  // Weights that one token passes through, for PrefillSeconds().
  double parameters_active = 0;
};

// The default of `larder replay`: 1 KiB of KV per token, so that a trace of 10^5 blocks fits a
// small machine. It stands in for llama-3-8b, and its prefill is priced as that.
inline constexpr std::string_view kReplayModel = "replay-small";

std::span<const ModelPreset> ModelPresets();
// INVALID_ARGUMENT naming the presets there are.
absl::StatusOr<ModelPreset> FindModelPreset(std::string_view name);

// One bf16 NHD group "full" on one shard, hashed by Larder's native scheme. A preset knows no
// weights, so its weights_digest is a constant: engines that share a store must use a manifest of
// their own.
Manifest ManifestOf(const ModelPreset& preset, uint32_t block_tokens);

// Prefill time of `tokens` on one accelerator: 2 * parameters * tokens operations at kGpuFlops *
// kGpuFlopsShare. Attention's own quadratic part is left out, so long contexts are understated.
inline constexpr double kGpuFlops = 989e12;     // NVIDIA H100 SXM, dense bf16, data sheet
inline constexpr double kGpuFlopsShare = 0.40;  // of the above that a tuned prefill reaches
double PrefillSeconds(double parameters_active, uint64_t tokens);

}  // namespace larder::cli
