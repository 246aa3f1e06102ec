// The manifest of FORMAT.md's worked example.
#pragma once

#include <string>

#include "proto/contract/manifest.h"
#include "proto/contract/prefix_hash.h"

namespace larder {

inline Manifest ExampleManifest() {
  Manifest manifest;
  manifest.model = "meta-llama/Llama-3.1-8B";
  for (int i = 0; i < 32; ++i) manifest.weights_digest.push_back(static_cast<char>(i));
  manifest.dtype = Dtype::kBf16;
  manifest.block_tokens = 256;
  manifest.rope = {.pairing = RopePairing::kHalf,
                   .theta = 500000,
                   .rotary_dim = 128,
                   .scaling = "llama3",
                   .scaling_factor = 8,
                   .attention_factor = 1};
  manifest.hash_scheme.name = "larder";
  manifest.hash_scheme.probe = ProbeHash(HashSchemeKind::kNative, "", 256).view();
  LayerGroup group;
  group.name = "full";
  group.kind = GroupKind::kAttention;
  group.layers = 32;
  group.kv_heads = 8;
  group.head_dim_k = 128;
  group.head_dim_v = 128;
  manifest.groups = {group};
  return manifest;
}

}  // namespace larder
