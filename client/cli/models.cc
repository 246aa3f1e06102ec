#include "client/cli/models.h"

#include <array>
#include <string>

#include "proto/contract/errors.h"
#include "proto/contract/prefix_hash.h"

namespace larder::cli {
namespace {

Rope HalfRope(double theta, uint32_t rotary_dim) {
  return {.pairing = RopePairing::kHalf, .theta = theta, .rotary_dim = rotary_dim};
}

}  // namespace

std::span<const ModelPreset> ModelPresets() {
  static const std::array<ModelPreset, 5> kPresets = {{
      {.name = kReplayModel,
       .model = "larder/replay-small",
       .layers = 2,
       .kv_heads = 2,
       .head_dim_k = 64,
       .head_dim_v = 64,
       .rope = HalfRope(5e5, 64),
       .parameters_active = 8.03e9},
      {.name = "llama-3-8b",
       .model = "meta-llama/Meta-Llama-3-8B",
       .layers = 32,
       .kv_heads = 8,
       .head_dim_k = 128,
       .head_dim_v = 128,
       .rope = HalfRope(5e5, 128),
       .parameters_active = 8.03e9},
      {.name = "llama-3-70b",
       .model = "meta-llama/Meta-Llama-3-70B",
       .layers = 80,
       .kv_heads = 8,
       .head_dim_k = 128,
       .head_dim_v = 128,
       .rope = HalfRope(5e5, 128),
       .parameters_active = 70.6e9},
      {.name = "deepseek-v3",
       .model = "deepseek-ai/DeepSeek-V3",
       .kind = GroupKind::kLatent,
       .layers = 61,
       .kv_heads = 1,
       .head_dim_k = 512,
       .head_dim_v = 64,
       .rope = {.pairing = RopePairing::kInterleaved,
                .theta = 1e4,
                .rotary_dim = 64,
                .scaling = "yarn",
                .scaling_factor = 40},
       .parameters_active = 37e9},
      {.name = "gpt2-xl",
       .model = "openai-community/gpt2-xl",
       .layers = 48,
       .kv_heads = 25,
       .head_dim_k = 64,
       .head_dim_v = 64,
       .rope = {},
       .parameters_active = 1.56e9},
  }};
  return kPresets;
}

absl::StatusOr<ModelPreset> FindModelPreset(std::string_view name) {
  std::string known;
  for (const ModelPreset& preset : ModelPresets()) {
    if (preset.name == name) return preset;
    known += (known.empty() ? "" : ", ") + std::string(preset.name);
  }
  return InvalidField("model", name, "one of " + known);
}

Manifest ManifestOf(const ModelPreset& preset, uint32_t block_tokens) {
  Manifest manifest;
  manifest.model = std::string(preset.model);
  manifest.weights_digest = "larder-preset";
  manifest.dtype = Dtype::kBf16;
  manifest.block_tokens = block_tokens;
  manifest.rope = preset.rope;
  manifest.hash_scheme.name = std::string(HashSchemeName(HashSchemeKind::kNative));
  manifest.hash_scheme.probe =
      std::string(ProbeHash(HashSchemeKind::kNative, "", block_tokens).view());
  manifest.groups.push_back({.name = "full",
                             .kind = preset.kind,
                             .layers = preset.layers,
                             .kv_heads = preset.kv_heads,
                             .head_dim_k = preset.head_dim_k,
                             .head_dim_v = preset.head_dim_v});
  return manifest;
}

double PrefillSeconds(double parameters_active, uint64_t tokens) {
  return 2 * parameters_active * static_cast<double>(tokens) / (kGpuFlops * kGpuFlopsShare);
}

}  // namespace larder::cli
