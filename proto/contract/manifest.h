// The manifest: everything that must agree for KV bytes to be reusable, and its canonical digest
// (FORMAT.md, with test vectors). Plain values without Protobuf; convert.h validates and converts
// the wire form. Pure functions; they accept any values, valid or not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/format/kv_layout.h"
#include "proto/contract/block_key.h"

namespace larder {

enum class ScaleLocation : uint8_t { kUnspecified = 0, kNone = 1, kInBlock = 2, kInModel = 3 };
enum class RopePairing : uint8_t { kUnspecified = 0, kNone = 1, kHalf = 2, kInterleaved = 3 };

// As codecs number it: 0 none, 1 halves, 2 interleaved.
constexpr uint8_t RopePairingCode(RopePairing pairing) {
  return pairing == RopePairing::kHalf ? 1 : pairing == RopePairing::kInterleaved ? 2 : 0;
}

struct Rope {
  RopePairing pairing = RopePairing::kNone;
  double theta = 0;
  uint32_t rotary_dim = 0;
  std::string scaling = "none";
  double scaling_factor = 1;
  double attention_factor = 1;
};

struct Shard {
  uint32_t tensor_parallel_rank = 0;
  uint32_t tensor_parallel_size = 1;
  uint32_t pipeline_rank = 0;
  uint32_t pipeline_size = 1;
};

struct HashScheme {
  std::string name;
  std::string seed;
  std::string probe;  // raw bytes
};

struct LayerGroup {
  std::string name;
  GroupKind kind = GroupKind::kUnspecified;
  uint32_t layer_begin = 0;
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim_k = 0;
  uint32_t head_dim_v = 0;
  uint32_t window_tokens = 0;
  uint32_t unit_bytes = 0;
};

struct Manifest {
  std::string model;
  std::string weights_digest;  // raw bytes
  std::string adapter;
  Dtype dtype = Dtype::kUnspecified;
  ScaleLocation scale_location = ScaleLocation::kNone;
  AxisOrder axis_order = AxisOrder::kNhd;
  uint32_t block_tokens = 0;
  Rope rope;
  Shard shard;
  HashScheme hash_scheme;
  std::vector<LayerGroup> groups;
};

// The canonical form: deterministic CBOR of every field in a fixed order (FORMAT.md). Equal exactly
// when all fields are equal; the only two values that count as one are 0.0 and -0.0.
std::string CanonicalManifest(const Manifest& manifest);

// SHA-256 of the canonical form, domain-separated. Equal digests mean equal fields.
Digest ManifestDigest(const Manifest& manifest);

// SHA-256 of (tenant, manifest digest, group name), domain-separated. The shard is part of the
// manifest.
Digest SpaceDigest(std::string_view tenant, const Digest& manifest_digest, std::string_view group);

// Shape of a full block of one group.
KvShape ShapeOf(const Manifest& manifest, const LayerGroup& group);

// Raw bytes of one token over all groups (state groups count as zero); what size tables call
// bytes per token.
uint64_t BytesPerToken(const Manifest& manifest);

struct FieldDifference {
  std::string field;  // "rope.theta", "groups[0].kv_heads"
  std::string left;   // as people read it: names of enums, hex of bytes; "absent" for a field of a
                      // group that only one side has
  std::string right;
  std::string consequence;  // why the two can not share blocks, in a few words
};

// Every field in which two manifests differ; empty exactly when their digests are equal.
std::vector<FieldDifference> DiffManifests(const Manifest& left, const Manifest& right);

}  // namespace larder
