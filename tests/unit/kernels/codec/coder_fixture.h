// Shapes, raw blocks and recipes for tests of whole frames.
#pragma once

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/codec/block_coder.h"
#include "kernels/codec/number_formats.h"

namespace larder {

inline KvShape AttentionShape(uint32_t tokens = 40, uint32_t dim = 64,
                              AxisOrder order = AxisOrder::kNhd) {
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = Dtype::kBf16;
  shape.axis_order = order;
  shape.layer_begin = 2;
  shape.layers = 3;
  shape.kv_heads = 2;
  shape.head_dim_k = dim;
  shape.head_dim_v = dim;
  shape.tokens = tokens;
  return shape;
}

inline std::vector<std::byte> GaussianBlock(const KvShape& shape, uint64_t seed) {
  std::vector<std::byte> raw(RawBytes(shape).value());
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i + 1 < raw.size(); i += 2) {
    const uint16_t element =
        shape.dtype == Dtype::kFp16 ? Fp16OfFloat(normal(random)) : Bf16OfFloat(normal(random));
    std::memcpy(raw.data() + i, &element, 2);
  }
  return raw;
}

inline FrameIdentity IdentityAt(uint64_t token_begin) {
  FrameIdentity identity;
  identity.prefix_hash[0] = 7;
  identity.prefix_hash_bytes = 32;
  identity.token_begin = token_begin;
  return identity;
}

inline BlockRecipe RecipeOf(std::string_view plan) {
  BlockRecipe recipe;
  std::string why;
  recipe.plan = ParsePlan(plan, &why).value();
  recipe.rope = {.pairing = 1, .rotary_dim = 64, .theta = 10'000};
  return recipe;
}

}  // namespace larder
