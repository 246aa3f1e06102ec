#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/limits.h"
#include "proto/contract/prefix_hash.h"

namespace larder {
namespace {

// Enums are converted by value.
static_assert(static_cast<int>(Dtype::kUint8) == v1::Dtype_MAX);
static_assert(static_cast<int>(ScaleLocation::kInModel) == v1::ScaleLocation_MAX);
static_assert(static_cast<int>(AxisOrder::kHnd) == v1::AxisOrder_MAX);
static_assert(static_cast<int>(RopePairing::kInterleaved) == v1::RopePairing_MAX);
static_assert(static_cast<int>(GroupKind::kOpaque) == v1::GroupKind_MAX);

constexpr uint64_t kRawBlockBytesMax = kFrameBytesMax - kFrameHeaderBytesMax;

std::string Quoted(std::string_view value) {
  constexpr size_t kShownBytesMax = 64;
  std::string shown = "'" + std::string(value.substr(0, kShownBytesMax)) + "'";
  if (value.size() > kShownBytesMax) shown += "...";
  return shown;
}

std::string RealText(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

std::string RangeText(uint64_t min, uint64_t max) {
  if (min == max) return std::to_string(min);
  return std::to_string(min) + " to " + std::to_string(max);
}

// The faults of one message, collected so that all are reported at once.
class Faults {
 public:
  void Add(std::string field, std::string found, std::string expected) {
    faults_.push_back({std::move(field), std::move(found), std::move(expected)});
  }
  void CheckRange(std::string field, uint64_t value, uint64_t min, uint64_t max,
                  std::string_view when = "") {
    if (value >= min && value <= max) return;
    Add(std::move(field), std::to_string(value), RangeText(min, max) + std::string(when));
  }
  void CheckSize(std::string field, const std::string& value, size_t min, size_t max) {
    if (value.size() >= min && value.size() <= max) return;
    Add(std::move(field), std::to_string(value.size()) + " bytes", RangeText(min, max) + " bytes");
  }
  void CheckPositive(std::string field, double value) {
    if (std::isfinite(value) && value > 0) return;
    Add(std::move(field), RealText(value), "a finite number above 0");
  }
  void CheckEqual(std::string field, double value, double expected, std::string_view when) {
    if (value == expected) return;
    Add(std::move(field), RealText(value), RealText(expected) + std::string(when));
  }
  // proto3 enums are open: any integer may arrive. kUnspecified stands for a faulty one.
  template <class Enum>
  Enum Convert(std::string field, int wire, Enum last) {
    if (wire >= 1 && wire <= static_cast<int>(last)) return static_cast<Enum>(wire);
    Add(std::move(field), wire == 0 ? "nothing" : std::to_string(wire),
        "a value named in manifest.proto (1 to " + std::to_string(static_cast<int>(last)) + ")");
    return Enum::kUnspecified;
  }
  // A field that this end does not know would be missing from the digest: two different manifests
  // would share blocks.
  void CheckKnown(std::string field, const google::protobuf::Message& message) {
    if (message.GetReflection()->GetUnknownFields(message).empty()) return;
    Add(std::move(field), "a field unknown to this version",
        "only fields of contract version " + std::to_string(kContractVersionMajor) + "." +
            std::to_string(kContractVersionMinor) + "; upgrade this end");
  }

  size_t count() const { return faults_.size(); }
  absl::Status ToStatus() const { return InvalidFields(faults_); }

 private:
  std::vector<FieldFault> faults_;
};

Rope RopeFromWire(const v1::Rope& wire, Faults* faults) {
  faults->CheckKnown("rope", wire);
  return {.pairing = faults->Convert("rope.pairing", wire.pairing(), RopePairing::kInterleaved),
          .theta = wire.theta(),
          .rotary_dim = wire.rotary_dim(),
          .scaling = wire.scaling().empty() ? "none" : wire.scaling(),
          .scaling_factor = wire.scaling_factor(),
          .attention_factor = wire.attention_factor()};
}

std::vector<LayerGroup> GroupsFromWire(const v1::Manifest& wire, Faults* faults) {
  std::vector<LayerGroup> groups;
  if (wire.groups().empty() || wire.groups_size() > static_cast<int>(kLayerGroupsMax)) {
    faults->CheckRange("groups", wire.groups_size(), 1, kLayerGroupsMax, " entries");
    return groups;
  }
  for (const v1::LayerGroup& group : wire.groups()) {
    const std::string field = "groups[" + std::to_string(groups.size()) + "]";
    faults->CheckKnown(field, group);
    groups.push_back({.name = group.name(),
                      .kind = faults->Convert(field + ".kind", group.kind(), GroupKind::kOpaque),
                      .layer_begin = group.layer_begin(),
                      .layers = group.layers(),
                      .kv_heads = group.kv_heads(),
                      .head_dim_k = group.head_dim_k(),
                      .head_dim_v = group.head_dim_v(),
                      .window_tokens = group.window_tokens(),
                      .unit_bytes = group.unit_bytes()});
  }
  return groups;
}

void CheckRope(const Rope& rope, Faults* faults) {
  if (rope.pairing == RopePairing::kNone) {
    constexpr std::string_view kWhen = " with ROPE_PAIRING_NONE";
    faults->CheckEqual("rope.theta", rope.theta, 0, kWhen);
    faults->CheckRange("rope.rotary_dim", rope.rotary_dim, 0, 0, kWhen);
    faults->CheckEqual("rope.attention_factor", rope.attention_factor, 1, kWhen);
    if (rope.scaling != "none") {
      faults->Add("rope.scaling", Quoted(rope.scaling), "'none'" + std::string(kWhen));
    }
  } else {
    faults->CheckPositive("rope.theta", rope.theta);
    faults->CheckPositive("rope.attention_factor", rope.attention_factor);
    if (rope.rotary_dim == 0 || rope.rotary_dim > kHeadDimMax || rope.rotary_dim % 2 != 0) {
      faults->Add("rope.rotary_dim", std::to_string(rope.rotary_dim),
                  "an even number, " + RangeText(2, kHeadDimMax));
    }
  }
  faults->CheckSize("rope.scaling", rope.scaling, 1, kNameBytesMax);
  if (rope.scaling == "none") {
    faults->CheckEqual("rope.scaling_factor", rope.scaling_factor, 1, " without scaling");
  } else {
    faults->CheckPositive("rope.scaling_factor", rope.scaling_factor);
  }
}

void CheckRank(const std::string& prefix, uint32_t rank, uint32_t size, Faults* faults) {
  if (size == 0) {
    faults->Add(prefix + "size", "0", "at least 1 (1 when the model is not split)");
  } else if (rank >= size) {
    faults->Add(prefix + "rank", std::to_string(rank),
                "less than " + prefix + "size (" + std::to_string(size) + ")");
  }
}

void CheckHashScheme(const HashScheme& scheme, uint32_t block_tokens, Faults* faults) {
  faults->CheckSize("hash_scheme.name", scheme.name, 1, kNameBytesMax);
  faults->CheckSize("hash_scheme.seed", scheme.seed, 0, kNameBytesMax);
  faults->CheckSize("hash_scheme.probe", scheme.probe, 0, kPrefixHashBytesMax);
  if (scheme.name == "sha256" || scheme.name == "vllm_sha256") {
    faults->Add("hash_scheme.name", Quoted(scheme.name),
                "'vllm_sha256_cbor' (start vLLM with --prefix-caching-hash-algo sha256_cbor): its "
                "default hashes a Python pickle, which no other program can reproduce");
  }
  const auto known = HashSchemeFromName(scheme.name);
  if (!known) return;
  if (known == HashSchemeKind::kVllm && scheme.seed.empty()) {
    faults->Add("hash_scheme.seed", "nothing",
                "the PYTHONHASHSEED of every engine: without it each process draws its own seed "
                "and no two share a block");
    return;
  }
  if (scheme.probe.empty() || block_tokens == 0 || block_tokens > kBlockTokensMax) return;
  if (scheme.probe != ProbeHash(*known, scheme.seed, block_tokens).view()) {
    faults->Add("hash_scheme.probe", "another hash",
                "the " + scheme.name + " hash of tokens 0.." + std::to_string(block_tokens - 1) +
                    " with this seed: the engine does not compute the scheme it names");
  }
}

// Fields that the kind uses must be set, all others must be zero: one meaning, one digest.
void CheckGeometry(const std::string& prefix, const LayerGroup& group, Faults* faults) {
  const bool heads = group.kind == GroupKind::kAttention || group.kind == GroupKind::kLatent;
  const uint32_t heads_max = group.kind == GroupKind::kLatent ? 1 : kHeadsMax;
  const std::string when = " with " + v1::GroupKind_Name(static_cast<v1::GroupKind>(group.kind));
  const auto check = [&](const char* field, uint32_t value, bool used, uint32_t max) {
    faults->CheckRange(prefix + field, value, used ? 1 : 0, used ? max : 0, when);
  };
  check("kv_heads", group.kv_heads, heads, heads_max);
  check("head_dim_k", group.head_dim_k, heads, kHeadDimMax);
  check("head_dim_v", group.head_dim_v, heads, kHeadDimMax);
  check("unit_bytes", group.unit_bytes, !heads, kUnitBytesMax);
  if (group.kind == GroupKind::kState) {
    check("window_tokens", group.window_tokens, false, 0);
  }
}

void CheckGroup(const std::string& prefix, const Manifest& manifest, const LayerGroup& group,
                Faults* faults) {
  const size_t faults_before = faults->count();
  faults->CheckSize(prefix + "name", group.name, 1, kNameBytesMax);
  faults->CheckRange(prefix + "layers", group.layers, 1, kLayersMax);
  faults->CheckRange(prefix + "layer_begin", group.layer_begin, 0, kLayersMax - 1);
  if (uint64_t{group.layer_begin} + group.layers > kLayersMax) {
    faults->Add(prefix + "layers",
                "an end at layer " + std::to_string(uint64_t{group.layer_begin} + group.layers),
                "an end at layer " + std::to_string(kLayersMax) + " at most");
  }
  if (group.kind == GroupKind::kUnspecified) return;
  CheckGeometry(prefix, group, faults);
  // What follows makes sense only with a whole shape.
  const uint32_t tokens = manifest.block_tokens;
  if (faults->count() != faults_before || manifest.dtype == Dtype::kUnspecified ||
      manifest.axis_order == AxisOrder::kUnspecified || tokens == 0 || tokens > kBlockTokensMax) {
    return;
  }
  const auto raw_bytes = RawBytes(ShapeOf(manifest, group));
  if (!raw_bytes || *raw_bytes > kRawBlockBytesMax) {
    faults->Add(prefix + "layers",
                "a block of " + (raw_bytes ? std::to_string(*raw_bytes) : "over 2^64") + " bytes",
                "at most " + std::to_string(kRawBlockBytesMax) +
                    " bytes; lower block_tokens or split the group");
  }
  // RoPE turns the keys of attention, and of latents only the RoPE part.
  const uint32_t rotatable = group.kind == GroupKind::kAttention ? group.head_dim_k
                             : group.kind == GroupKind::kLatent  ? group.head_dim_v
                                                                 : kHeadDimMax;
  if (manifest.rope.rotary_dim > rotatable && manifest.rope.rotary_dim <= kHeadDimMax) {
    faults->Add("rope.rotary_dim", std::to_string(manifest.rope.rotary_dim),
                "at most " + std::to_string(rotatable) + ", the dimensions of " +
                    prefix.substr(0, prefix.size() - 1) + " that RoPE can turn");
  }
}

void CheckGroupsApart(const std::vector<LayerGroup>& groups, Faults* faults) {
  std::set<std::string_view> names;
  std::vector<size_t> order;
  for (size_t i = 0; i < groups.size(); ++i) {
    order.push_back(i);
    if (!names.insert(groups[i].name).second) {
      faults->Add("groups[" + std::to_string(i) + "].name", Quoted(groups[i].name),
                  "a name that no other group has");
    }
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(groups[a].layer_begin, a) < std::pair(groups[b].layer_begin, b);
  });
  uint64_t end = 0;
  for (const size_t i : order) {
    if (groups[i].layer_begin < end) {
      faults->Add("groups[" + std::to_string(i) + "].layer_begin",
                  std::to_string(groups[i].layer_begin),
                  "at least " + std::to_string(end) + ": a layer belongs to one group");
    }
    end = std::max(end, uint64_t{groups[i].layer_begin} + groups[i].layers);
  }
}

void CheckManifest(const Manifest& m, Faults* faults) {
  faults->CheckSize("model", m.model, 1, kModelNameBytesMax);
  faults->CheckSize("weights_digest", m.weights_digest, 1, kWeightsDigestBytesMax);
  faults->CheckSize("adapter", m.adapter, 0, kNameBytesMax);
  faults->CheckRange("block_tokens", m.block_tokens, 1, kBlockTokensMax);
  const bool plain_float =
      m.dtype == Dtype::kBf16 || m.dtype == Dtype::kFp16 || m.dtype == Dtype::kFp32;
  if (plain_float && (m.scale_location == ScaleLocation::kInBlock ||
                      m.scale_location == ScaleLocation::kInModel)) {
    faults->Add("scale_location",
                v1::ScaleLocation_Name(static_cast<v1::ScaleLocation>(m.scale_location)),
                "SCALE_LOCATION_NONE: this dtype has no scales");
  }
  CheckRope(m.rope, faults);
  CheckRank("shard.tensor_parallel_", m.shard.tensor_parallel_rank, m.shard.tensor_parallel_size,
            faults);
  CheckRank("shard.pipeline_", m.shard.pipeline_rank, m.shard.pipeline_size, faults);
  CheckHashScheme(m.hash_scheme, m.block_tokens, faults);
  for (size_t i = 0; i < m.groups.size(); ++i) {
    CheckGroup("groups[" + std::to_string(i) + "].", m, m.groups[i], faults);
  }
  CheckGroupsApart(m.groups, faults);
}

}  // namespace

absl::StatusOr<Manifest> ManifestFromWire(const v1::Manifest& wire) {
  Faults faults;
  faults.CheckKnown("manifest", wire);
  faults.CheckKnown("shard", wire.shard());
  faults.CheckKnown("hash_scheme", wire.hash_scheme());
  Manifest manifest{.model = wire.model(),
                    .weights_digest = wire.weights_digest(),
                    .adapter = wire.adapter(),
                    .dtype = faults.Convert("dtype", wire.dtype(), Dtype::kUint8),
                    .scale_location = faults.Convert("scale_location", wire.scale_location(),
                                                     ScaleLocation::kInModel),
                    .axis_order = faults.Convert("axis_order", wire.axis_order(), AxisOrder::kHnd),
                    .block_tokens = wire.block_tokens(),
                    .rope = RopeFromWire(wire.rope(), &faults),
                    .shard = {.tensor_parallel_rank = wire.shard().tensor_parallel_rank(),
                              .tensor_parallel_size = wire.shard().tensor_parallel_size(),
                              .pipeline_rank = wire.shard().pipeline_rank(),
                              .pipeline_size = wire.shard().pipeline_size()},
                    .hash_scheme = {.name = wire.hash_scheme().name(),
                                    .seed = wire.hash_scheme().seed(),
                                    .probe = wire.hash_scheme().probe()},
                    .groups = GroupsFromWire(wire, &faults)};
  CheckManifest(manifest, &faults);
  if (faults.count() > 0) return faults.ToStatus();
  return manifest;
}

v1::Manifest ManifestToWire(const Manifest& manifest) {
  v1::Manifest wire;
  wire.set_model(manifest.model);
  wire.set_weights_digest(manifest.weights_digest);
  wire.set_adapter(manifest.adapter);
  wire.set_dtype(static_cast<v1::Dtype>(manifest.dtype));
  wire.set_scale_location(static_cast<v1::ScaleLocation>(manifest.scale_location));
  wire.set_axis_order(static_cast<v1::AxisOrder>(manifest.axis_order));
  wire.set_block_tokens(manifest.block_tokens);
  v1::Rope* rope = wire.mutable_rope();
  rope->set_pairing(static_cast<v1::RopePairing>(manifest.rope.pairing));
  rope->set_theta(manifest.rope.theta);
  rope->set_rotary_dim(manifest.rope.rotary_dim);
  rope->set_scaling(manifest.rope.scaling);
  rope->set_scaling_factor(manifest.rope.scaling_factor);
  rope->set_attention_factor(manifest.rope.attention_factor);
  v1::Shard* shard = wire.mutable_shard();
  shard->set_tensor_parallel_rank(manifest.shard.tensor_parallel_rank);
  shard->set_tensor_parallel_size(manifest.shard.tensor_parallel_size);
  shard->set_pipeline_rank(manifest.shard.pipeline_rank);
  shard->set_pipeline_size(manifest.shard.pipeline_size);
  v1::HashScheme* scheme = wire.mutable_hash_scheme();
  scheme->set_name(manifest.hash_scheme.name);
  scheme->set_seed(manifest.hash_scheme.seed);
  scheme->set_probe(manifest.hash_scheme.probe);
  for (const LayerGroup& group : manifest.groups) {
    v1::LayerGroup* added = wire.add_groups();
    added->set_name(group.name);
    added->set_kind(static_cast<v1::GroupKind>(group.kind));
    added->set_layer_begin(group.layer_begin);
    added->set_layers(group.layers);
    added->set_kv_heads(group.kv_heads);
    added->set_head_dim_k(group.head_dim_k);
    added->set_head_dim_v(group.head_dim_v);
    added->set_window_tokens(group.window_tokens);
    added->set_unit_bytes(group.unit_bytes);
  }
  return wire;
}

}  // namespace larder
