#include "proto/contract/manifest.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

namespace larder {
namespace {

using Json = nlohmann::json;

// The terminating zero is part of each tag: no tag is a prefix of another.
constexpr std::string_view kManifestTag("larder.manifest.v1\0", 19);
constexpr std::string_view kSpaceTag("larder.space.v1\0", 16);

struct Field {
  std::string name;
  Json canonical;     // what is hashed and compared
  std::string shown;  // what people read
  std::string_view consequence;
};

Json Binary(std::string_view bytes) {
  return Json::binary(std::vector<uint8_t>(bytes.begin(), bytes.end()));
}

std::string Cbor(const Json& value) {
  std::string cbor;
  Json::to_cbor(value, cbor);
  return cbor;
}

Digest TaggedDigest(std::string_view tag, std::string_view cbor) {
  std::string preimage(tag);
  preimage += cbor;
  return Sha256(preimage);
}

// Collects the fields of a manifest in canonical order. Digest and diff both use this list, so that
// they cannot disagree about what a field is.
class FieldList {
 public:
  std::vector<Field> Take() && { return std::move(fields_); }

  void Text(std::string name, const std::string& value, std::string_view consequence) {
    fields_.push_back({std::move(name), value, value, consequence});
  }
  void Bytes(std::string name, std::string_view value, std::string_view consequence) {
    std::string hex = ToHex({reinterpret_cast<const uint8_t*>(value.data()), value.size()});
    fields_.push_back({std::move(name), Binary(value), std::move(hex), consequence});
  }
  void Number(std::string name, uint64_t value, std::string_view consequence) {
    fields_.push_back({std::move(name), value, std::to_string(value), consequence});
  }
  void Real(std::string name, double value, std::string_view consequence) {
    char shown[32];
    const auto end = std::to_chars(shown, shown + sizeof(shown), value).ptr;
    const double canonical = value == 0 ? 0.0 : value;  // -0.0 is the same value
    fields_.push_back({std::move(name), std::bit_cast<uint64_t>(canonical), std::string(shown, end),
                       consequence});
  }
  template <class Enum>
  void Name(std::string name, Enum value, std::span<const std::string_view> names,
            std::string_view consequence) {
    const auto number = static_cast<uint8_t>(value);
    std::string shown = number < names.size() ? std::string(names[number]) : std::to_string(number);
    fields_.push_back({std::move(name), number, std::move(shown), consequence});
  }

 private:
  std::vector<Field> fields_;
};

constexpr std::string_view kDtypes[] = {"unspecified", "bf16",     "fp16", "fp32",
                                        "fp8_e4m3",    "fp8_e5m2", "int8", "uint8"};
constexpr std::string_view kScaleLocations[] = {"unspecified", "none", "in_block", "in_model"};
constexpr std::string_view kAxisOrders[] = {"unspecified", "nhd", "hnd"};
constexpr std::string_view kPairings[] = {"unspecified", "none", "half", "interleaved"};
constexpr std::string_view kKinds[] = {"unspecified", "attention", "latent", "state", "opaque"};

constexpr std::string_view kOtherRotation = "keys are rotated by other angles";
constexpr std::string_view kOtherSlice = "each shard holds other heads or layers";
constexpr std::string_view kOtherHashes = "equal tokens get different hashes: every lookup misses";
constexpr std::string_view kOtherShape = "blocks have another shape";

void AppendGroup(const std::string& prefix, const LayerGroup& group, FieldList* fields) {
  fields->Text(prefix + "name", group.name, "a space is found by its group's name");
  fields->Name(prefix + "kind", group.kind, kKinds, "blocks hold other streams");
  fields->Number(prefix + "layer_begin", group.layer_begin, "blocks cover other layers");
  fields->Number(prefix + "layers", group.layers, "blocks cover other layers");
  fields->Number(prefix + "kv_heads", group.kv_heads, kOtherShape);
  fields->Number(prefix + "head_dim_k", group.head_dim_k, kOtherShape);
  fields->Number(prefix + "head_dim_v", group.head_dim_v, kOtherShape);
  fields->Number(prefix + "window_tokens", group.window_tokens, "other tokens are attended");
  fields->Number(prefix + "unit_bytes", group.unit_bytes, kOtherShape);
}

std::vector<Field> CanonicalFields(const Manifest& m) {
  FieldList fields;
  fields.Text("model", m.model, "another model computes other KV");
  fields.Bytes("weights_digest", m.weights_digest, "other weights compute other KV");
  fields.Text("adapter", m.adapter, "the adapter changes the KV");
  fields.Name("dtype", m.dtype, kDtypes, "bytes are numbers of another type");
  fields.Name("scale_location", m.scale_location, kScaleLocations,
              "quantised values would be scaled wrongly");
  fields.Name("axis_order", m.axis_order, kAxisOrders, "tokens and heads would be mixed up");
  fields.Number("block_tokens", m.block_tokens, "blocks end at other tokens: no hash is equal");
  fields.Name("rope.pairing", m.rope.pairing, kPairings, "other dimensions are rotated together");
  fields.Real("rope.theta", m.rope.theta, kOtherRotation);
  fields.Number("rope.rotary_dim", m.rope.rotary_dim, "other dimensions are rotated");
  fields.Text("rope.scaling", m.rope.scaling, kOtherRotation);
  fields.Real("rope.scaling_factor", m.rope.scaling_factor, kOtherRotation);
  fields.Real("rope.attention_factor", m.rope.attention_factor, "keys have another magnitude");
  fields.Number("shard.tensor_parallel_rank", m.shard.tensor_parallel_rank, kOtherSlice);
  fields.Number("shard.tensor_parallel_size", m.shard.tensor_parallel_size, kOtherSlice);
  fields.Number("shard.pipeline_rank", m.shard.pipeline_rank, kOtherSlice);
  fields.Number("shard.pipeline_size", m.shard.pipeline_size, kOtherSlice);
  fields.Text("hash_scheme.name", m.hash_scheme.name, kOtherHashes);
  fields.Text("hash_scheme.seed", m.hash_scheme.seed, kOtherHashes);
  fields.Bytes("hash_scheme.probe", m.hash_scheme.probe, kOtherHashes);
  // With the count in front of them, the groups' fields need no nesting to be unambiguous.
  fields.Number("groups", m.groups.size(), "a token's KV is split into other spaces");
  for (size_t i = 0; i < m.groups.size(); ++i) {
    AppendGroup("groups[" + std::to_string(i) + "].", m.groups[i], &fields);
  }
  return std::move(fields).Take();
}

}  // namespace

std::string CanonicalManifest(const Manifest& manifest) {
  Json values = Json::array();
  for (Field& field : CanonicalFields(manifest)) values.push_back(std::move(field.canonical));
  return Cbor(values);
}

Digest ManifestDigest(const Manifest& manifest) {
  return TaggedDigest(kManifestTag, CanonicalManifest(manifest));
}

Digest SpaceDigest(std::string_view tenant, const Digest& manifest_digest, std::string_view group) {
  const std::string_view digest(reinterpret_cast<const char*>(manifest_digest.data()),
                                manifest_digest.size());
  return TaggedDigest(kSpaceTag, Cbor(Json::array({tenant, Binary(digest), group})));
}

KvShape ShapeOf(const Manifest& manifest, const LayerGroup& group) {
  return {.kind = group.kind,
          .dtype = manifest.dtype,
          .axis_order = manifest.axis_order,
          .layer_begin = group.layer_begin,
          .layers = group.layers,
          .kv_heads = group.kv_heads,
          .head_dim_k = group.head_dim_k,
          .head_dim_v = group.head_dim_v,
          .unit_bytes = group.unit_bytes,
          .tokens = manifest.block_tokens};
}

uint64_t BytesPerToken(const Manifest& manifest) {
  uint64_t bytes = 0;
  for (const LayerGroup& group : manifest.groups) {
    if (group.kind == GroupKind::kState) continue;  // one snapshot per block, however long it is
    KvShape shape = ShapeOf(manifest, group);
    shape.tokens = 1;
    bytes += RawBytes(shape).value_or(0);
  }
  return bytes;
}

std::vector<FieldDifference> DiffManifests(const Manifest& left, const Manifest& right) {
  std::vector<Field> a = CanonicalFields(left);
  std::vector<Field> b = CanonicalFields(right);
  const std::string absent = "absent";
  std::vector<FieldDifference> differences;
  // The same position is the same field: lists differ only in how many groups end them.
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i < a.size() && i < b.size() && a[i].canonical == b[i].canonical) continue;
    const Field& known = i < a.size() ? a[i] : b[i];
    differences.push_back({known.name, i < a.size() ? a[i].shown : absent,
                           i < b.size() ? b[i].shown : absent, std::string(known.consequence)});
  }
  return differences;
}

}  // namespace larder
