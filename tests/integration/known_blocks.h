// Blocks whose bytes follow from their hash, so that whoever gets one can check every byte, in any
// process.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/client.h"
#include "larder/v1/manifest.pb.h"
#include "proto/contract/prefix_hash.h"

namespace larder::testing {

inline constexpr uint32_t kKnownBlockTokens = 16;

// One group of opaque rows: a block is `layers` streams of 16 rows of `row_bytes`.
inline v1::Manifest KnownManifest(const std::string& model, uint32_t layers, uint32_t row_bytes) {
  v1::Manifest manifest;
  manifest.set_model(model);
  manifest.set_weights_digest("known");
  manifest.set_dtype(v1::DTYPE_UINT8);
  manifest.set_scale_location(v1::SCALE_LOCATION_IN_BLOCK);
  manifest.set_axis_order(v1::AXIS_ORDER_NHD);
  manifest.set_block_tokens(kKnownBlockTokens);
  manifest.mutable_rope()->set_pairing(v1::ROPE_PAIRING_NONE);
  manifest.mutable_rope()->set_scaling_factor(1);
  manifest.mutable_rope()->set_attention_factor(1);
  manifest.mutable_shard()->set_tensor_parallel_size(1);
  manifest.mutable_shard()->set_pipeline_size(1);
  manifest.mutable_hash_scheme()->set_name("known-blocks");
  v1::LayerGroup* group = manifest.add_groups();
  group->set_name("full");
  group->set_kind(v1::GROUP_KIND_OPAQUE);
  group->set_layers(layers);
  group->set_unit_bytes(row_bytes);
  return manifest;
}

inline PrefixHash KnownHash(uint32_t chain, uint32_t position) {
  const uint32_t name[] = {chain, position};
  return NativeHash({}, name);
}

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), seeded by
// the hash.
inline void FillKnown(const PrefixHash& hash, std::span<std::byte> bytes) {
  uint64_t state = 0;
  std::memcpy(&state, hash.bytes.data(), sizeof(state));
  for (size_t at = 0; at < bytes.size(); at += sizeof(state)) {
    uint64_t word = (state += 0x9E3779B97F4A7C15u);
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    word ^= word >> 31;
    std::memcpy(bytes.data() + at, &word, std::min(sizeof(word), bytes.size() - at));
  }
}

inline bool IsKnown(const PrefixHash& hash, std::span<const std::byte> bytes) {
  std::vector<std::byte> expected(bytes.size());
  FillKnown(hash, expected);
  return std::equal(bytes.begin(), bytes.end(), expected.begin());
}

inline uint64_t RawBytesOf(const Space& space) { return RawBytes(space.shape).value(); }

// Blocks 0..length-1 of a chain, ready to put.
inline std::vector<PutBlock> KnownChain(const Space& space, uint32_t chain, uint32_t length) {
  std::vector<PutBlock> blocks;
  for (uint32_t i = 0; i < length; ++i) {
    PutBlock block;
    block.hash = KnownHash(chain, i);
    if (i > 0) block.parent = KnownHash(chain, i - 1);
    block.token_begin = uint64_t{i} * kKnownBlockTokens;
    block.raw_bytes = RawBytesOf(space);
    auto* raw = new std::byte[block.raw_bytes];
    FillKnown(block.hash, {raw, block.raw_bytes});
    block.raw = std::shared_ptr<const std::byte>(raw, std::default_delete<std::byte[]>());
    blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace larder::testing
