#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>

#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "tests/unit/proto/contract/example_manifest.h"

namespace larder {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Manifest ExampleWire() { return ManifestToWire(ExampleManifest()); }

std::string RefusalOf(const v1::Manifest& wire) {
  const auto manifest = ManifestFromWire(wire);
  if (manifest.ok()) return "accepted";
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(manifest.status().message());
}

// A second group behind the example's, of another kind.
v1::LayerGroup* AddGroup(v1::Manifest* wire, v1::GroupKind kind) {
  v1::LayerGroup* group = wire->add_groups();
  group->set_name("second");
  group->set_kind(kind);
  group->set_layer_begin(32);
  group->set_layers(4);
  if (kind == v1::GROUP_KIND_STATE || kind == v1::GROUP_KIND_OPAQUE) {
    group->set_unit_bytes(656);
  } else {
    group->set_kv_heads(1);
    group->set_head_dim_k(512);
    group->set_head_dim_v(128);
  }
  return group;
}

void ExpectSame(const Manifest& left, const Manifest& right) {
  EXPECT_THAT(DiffManifests(left, right), IsEmpty());
  EXPECT_EQ(ManifestDigest(left), ManifestDigest(right));
}

TEST(ManifestFromWireTest, GivesBackWhatToWireWrote) {
  Manifest manifest = ExampleManifest();
  const auto example = ManifestFromWire(ManifestToWire(manifest));
  ASSERT_TRUE(example.ok()) << example.status();
  ExpectSame(*example, manifest);

  // Every field away from its default.
  manifest.adapter = "lora-7";
  manifest.dtype = Dtype::kFp8E5M2;
  manifest.scale_location = ScaleLocation::kInModel;
  manifest.axis_order = AxisOrder::kHnd;
  manifest.block_tokens = 16;
  manifest.rope.pairing = RopePairing::kInterleaved;
  manifest.rope.rotary_dim = 64;
  manifest.rope.attention_factor = 1.5;
  manifest.shard = {
      .tensor_parallel_rank = 3, .tensor_parallel_size = 8, .pipeline_rank = 1, .pipeline_size = 2};
  manifest.hash_scheme = {.name = "vllm_sha256_cbor",
                          .seed = "0",
                          .probe = std::string(ProbeHash(HashSchemeKind::kVllm, "0", 16).view())};
  manifest.groups[0].window_tokens = 1024;
  LayerGroup other = manifest.groups[0];
  other.name = "latent";
  other.kind = GroupKind::kLatent;
  other.layer_begin = 32;
  other.kv_heads = 1;
  manifest.groups.push_back(other);
  other = {.name = "state", .kind = GroupKind::kState, .layer_begin = 64, .layers = 1};
  other.unit_bytes = 64 << 20;
  manifest.groups.push_back(other);
  other = {.name = "opaque", .kind = GroupKind::kOpaque, .layer_begin = 65, .layers = 61};
  other.unit_bytes = 656;
  manifest.groups.push_back(other);
  const auto varied = ManifestFromWire(ManifestToWire(manifest));
  ASSERT_TRUE(varied.ok()) << varied.status();
  ExpectSame(*varied, manifest);
}

TEST(ManifestFromWireTest, EmptyScalingIsNone) {
  v1::Manifest wire = ExampleWire();
  wire.mutable_rope()->set_scaling("");
  wire.mutable_rope()->set_scaling_factor(1);
  const auto manifest = ManifestFromWire(wire);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->rope.scaling, "none");
}

TEST(ManifestFromWireTest, AcceptsAModelWithoutRope) {
  v1::Manifest wire = ExampleWire();
  wire.clear_rope();
  wire.mutable_rope()->set_pairing(v1::ROPE_PAIRING_NONE);
  wire.mutable_rope()->set_theta(-0.0);
  wire.mutable_rope()->set_scaling_factor(1);
  wire.mutable_rope()->set_attention_factor(1);
  const auto manifest = ManifestFromWire(wire);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
}

TEST(ManifestFromWireTest, AcceptsTheLargestBlock) {
  v1::Manifest wire = ExampleWire();
  wire.mutable_groups(0)->set_layers(64);
  wire.mutable_groups(0)->set_kv_heads(16);  // 512 KiB per token
  wire.mutable_hash_scheme()->clear_probe();
  wire.set_block_tokens(128);
  EXPECT_EQ(RefusalOf(wire), "accepted");
  wire.set_block_tokens(129);
  EXPECT_THAT(RefusalOf(wire), HasSubstr("groups[0].layers: found a block of 67633152 bytes, "
                                         "expected at most 67108864 bytes; lower block_tokens"));
}

struct Fault {
  std::function<void(v1::Manifest&)> make;
  std::string refusal;  // "field: found ...", or a part of it
};

void ExpectRefused(const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    v1::Manifest wire = ExampleWire();
    ASSERT_EQ(RefusalOf(wire), "accepted");
    fault.make(wire);
    EXPECT_THAT(RefusalOf(wire), HasSubstr(fault.refusal));
  }
}

TEST(ManifestFromWireTest, RefusesFaultyIdentity) {
  ExpectRefused({
      {[](auto& w) { w.clear_model(); }, "model: found 0 bytes, expected 1 to 256 bytes"},
      {[](auto& w) { w.set_model(std::string(257, 'm')); }, "model: found 257 bytes"},
      {[](auto& w) { w.clear_weights_digest(); }, "weights_digest: found 0 bytes"},
      {[](auto& w) { w.set_weights_digest(std::string(65, 'd')); },
       "weights_digest: found 65 bytes, expected 1 to 64 bytes"},
      {[](auto& w) { w.set_adapter(std::string(65, 'a')); },
       "adapter: found 65 bytes, expected 0 to 64 bytes"},
      {[](auto& w) { w.clear_dtype(); }, "dtype: found nothing, expected a value named in"},
      {[](auto& w) { w.set_dtype(static_cast<v1::Dtype>(8)); }, "dtype: found 8"},
      {[](auto& w) { w.set_dtype(static_cast<v1::Dtype>(-1)); }, "dtype: found -1"},
      {[](auto& w) { w.set_dtype(static_cast<v1::Dtype>(257)); }, "dtype: found 257"},
      {[](auto& w) { w.clear_scale_location(); }, "scale_location: found nothing"},
      {[](auto& w) { w.set_scale_location(static_cast<v1::ScaleLocation>(4)); },
       "scale_location: found 4"},
      {[](auto& w) { w.set_scale_location(v1::SCALE_LOCATION_IN_BLOCK); },
       "scale_location: found SCALE_LOCATION_IN_BLOCK, expected SCALE_LOCATION_NONE"},
      {[](auto& w) { w.clear_axis_order(); }, "axis_order: found nothing"},
      {[](auto& w) { w.set_axis_order(static_cast<v1::AxisOrder>(3)); }, "axis_order: found 3"},
      {[](auto& w) { w.clear_block_tokens(); }, "block_tokens: found 0, expected 1 to 2048"},
      {[](auto& w) { w.set_block_tokens(2049); }, "block_tokens: found 2049"},
      {[](auto& w) { w.set_block_tokens(0xFFFFFFFF); }, "block_tokens: found 4294967295"},
  });
}

TEST(ManifestFromWireTest, RefusesFaultyRope) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto rope = [](auto change) {
    return [change](v1::Manifest& wire) { change(wire.mutable_rope()); };
  };
  const auto no_rope = [](auto change) {
    return [change](v1::Manifest& wire) {
      v1::Rope* rope = wire.mutable_rope();
      rope->Clear();
      rope->set_pairing(v1::ROPE_PAIRING_NONE);
      rope->set_scaling_factor(1);
      rope->set_attention_factor(1);
      change(rope);
    };
  };
  ExpectRefused({
      {[](auto& w) { w.clear_rope(); }, "rope.pairing: found nothing"},
      {rope([](auto* r) { r->set_pairing(static_cast<v1::RopePairing>(4)); }),
       "rope.pairing: found 4"},
      {rope([](auto* r) { r->set_theta(0); }), "rope.theta: found 0, expected a finite number"},
      {rope([](auto* r) { r->set_theta(-1); }), "rope.theta: found -1"},
      {rope([=](auto* r) { r->set_theta(nan); }), "rope.theta: found nan"},
      {rope([=](auto* r) { r->set_theta(infinity); }), "rope.theta: found inf"},
      {rope([](auto* r) { r->set_rotary_dim(0); }), "rope.rotary_dim: found 0, expected an even"},
      {rope([](auto* r) { r->set_rotary_dim(63); }), "rope.rotary_dim: found 63"},
      {rope([](auto* r) { r->set_rotary_dim(8194); }), "rope.rotary_dim: found 8194"},
      {rope([](auto* r) { r->set_rotary_dim(130); }),
       "rope.rotary_dim: found 130, expected at most 128, the dimensions of groups[0]"},
      {rope([](auto* r) { r->set_scaling(std::string(65, 's')); }), "rope.scaling: found 65 bytes"},
      {rope([](auto* r) { r->set_scaling_factor(0); }), "rope.scaling_factor: found 0"},
      {rope([=](auto* r) { r->set_scaling_factor(nan); }), "rope.scaling_factor: found nan"},
      {rope([](auto* r) { r->set_scaling("none"); }),
       "rope.scaling_factor: found 8, expected 1 without scaling"},
      {rope([](auto* r) { r->set_attention_factor(0); }), "rope.attention_factor: found 0"},
      {rope([=](auto* r) { r->set_attention_factor(-infinity); }),
       "rope.attention_factor: found -inf"},
      {no_rope([](auto* r) { r->set_theta(1); }),
       "rope.theta: found 1, expected 0 with ROPE_PAIRING_NONE"},
      {no_rope([=](auto* r) { r->set_theta(nan); }), "rope.theta: found nan"},
      {no_rope([](auto* r) { r->set_rotary_dim(2); }), "rope.rotary_dim: found 2, expected 0"},
      {no_rope([](auto* r) { r->set_scaling("yarn"); }),
       "rope.scaling: found 'yarn', expected 'none'"},
      {no_rope([](auto* r) { r->set_attention_factor(2); }), "rope.attention_factor: found 2"},
  });
}

TEST(ManifestFromWireTest, RefusesFaultyShard) {
  ExpectRefused({
      {[](auto& w) { w.clear_shard(); }, "shard.tensor_parallel_size: found 0"},
      {[](auto& w) { w.clear_shard(); }, "shard.pipeline_size: found 0"},
      {[](auto& w) { w.mutable_shard()->set_tensor_parallel_rank(1); },
       "shard.tensor_parallel_rank: found 1, expected less than shard.tensor_parallel_size (1)"},
      {[](auto& w) { w.mutable_shard()->set_pipeline_rank(0xFFFFFFFF); },
       "shard.pipeline_rank: found 4294967295"},
  });
}

TEST(ManifestFromWireTest, RefusesFaultyHashScheme) {
  const auto scheme = [](auto change) {
    return [change](v1::Manifest& wire) { change(wire.mutable_hash_scheme()); };
  };
  ExpectRefused({
      {[](auto& w) { w.clear_hash_scheme(); }, "hash_scheme.name: found 0 bytes"},
      {scheme([](auto* s) { s->set_name(std::string(65, 'n')); }),
       "hash_scheme.name: found 65 bytes"},
      {scheme([](auto* s) { s->set_seed(std::string(65, 's')); }),
       "hash_scheme.seed: found 65 bytes"},
      {scheme([](auto* s) { s->set_probe(std::string(33, 'p')); }),
       "hash_scheme.probe: found 33 bytes"},
      {scheme([](auto* s) { s->mutable_probe()->front() ^= 1; }),
       "hash_scheme.probe: found another hash, expected the larder hash of tokens 0..255"},
      {scheme([](auto* s) { s->set_name("sglang_sha256"); }),
       "hash_scheme.probe: found another hash, expected the sglang_sha256 hash"},
      {scheme([](auto* s) { s->set_name("vllm_sha256_cbor"); }),
       "hash_scheme.seed: found nothing, expected the PYTHONHASHSEED"},
      {scheme([](auto* s) { s->set_name("sha256"); }),
       "hash_scheme.name: found 'sha256', expected 'vllm_sha256_cbor'"},
      {scheme([](auto* s) { s->set_name("vllm_sha256"); }),
       "hash_scheme.name: found 'vllm_sha256'"},
  });
}

TEST(ManifestFromWireTest, TrustsTheProbeOfASchemeItDoesNotKnow) {
  v1::Manifest wire = ExampleWire();
  wire.mutable_hash_scheme()->set_name("lmcache_blake3");
  wire.mutable_hash_scheme()->set_probe("anything");
  EXPECT_EQ(RefusalOf(wire), "accepted");
}

TEST(ManifestFromWireTest, RefusesFaultyGroups) {
  const auto group = [](auto change) {
    return [change](v1::Manifest& wire) { change(wire.mutable_groups(0)); };
  };
  ExpectRefused({
      {[](auto& w) { w.clear_groups(); }, "groups: found 0, expected 1 to 64 entries"},
      {[](auto& w) {
         while (w.groups_size() < 65) *w.add_groups() = w.groups(0);
       },
       "groups: found 65, expected 1 to 64 entries"},
      {group([](auto* g) { g->clear_name(); }), "groups[0].name: found 0 bytes"},
      {group([](auto* g) { g->set_name(std::string(65, 'n')); }), "groups[0].name: found 65 bytes"},
      {group([](auto* g) { g->clear_kind(); }), "groups[0].kind: found nothing"},
      {group([](auto* g) { g->set_kind(static_cast<v1::GroupKind>(5)); }),
       "groups[0].kind: found 5"},
      {group([](auto* g) { g->set_layers(0); }), "groups[0].layers: found 0, expected 1 to 1024"},
      {group([](auto* g) { g->set_layers(1025); }), "groups[0].layers: found 1025"},
      {group([](auto* g) { g->set_layer_begin(1024); }), "groups[0].layer_begin: found 1024"},
      {group([](auto* g) { g->set_layer_begin(1000); }),
       "groups[0].layers: found an end at layer 1032, expected an end at layer 1024 at most"},
      {group([](auto* g) { g->set_layer_begin(0xFFFFFFFF); }),
       "groups[0].layers: found an end at layer 4294967327"},
      {[](auto& w) { AddGroup(&w, v1::GROUP_KIND_OPAQUE)->set_name("full"); },
       "groups[1].name: found 'full', expected a name that no other group has"},
      {[](auto& w) { AddGroup(&w, v1::GROUP_KIND_OPAQUE)->set_layer_begin(31); },
       "groups[1].layer_begin: found 31, expected at least 32: a layer belongs to one group"},
      {[](auto& w) {
         AddGroup(&w, v1::GROUP_KIND_OPAQUE)->set_layer_begin(0);
         w.mutable_groups(0)->set_layer_begin(3);
       },
       "groups[0].layer_begin: found 3, expected at least 4"},
  });
}

TEST(ManifestFromWireTest, RefusesFieldsThatTheKindDoesNotUse) {
  const auto group = [](v1::GroupKind kind, auto change) {
    return [kind, change](v1::Manifest& wire) {
      v1::LayerGroup* added = AddGroup(&wire, kind);
      ASSERT_EQ(RefusalOf(wire), "accepted");
      change(added);
    };
  };
  const auto attention = v1::GROUP_KIND_ATTENTION;
  const auto latent = v1::GROUP_KIND_LATENT;
  const auto state = v1::GROUP_KIND_STATE;
  const auto opaque = v1::GROUP_KIND_OPAQUE;
  ExpectRefused({
      {group(attention, [](auto* g) { g->set_kv_heads(0); }),
       "groups[1].kv_heads: found 0, expected 1 to 1024 with GROUP_KIND_ATTENTION"},
      {group(attention, [](auto* g) { g->set_kv_heads(1025); }), "groups[1].kv_heads: found 1025"},
      {group(attention, [](auto* g) { g->set_head_dim_k(0); }), "groups[1].head_dim_k: found 0"},
      {group(attention, [](auto* g) { g->set_head_dim_v(8193); }),
       "groups[1].head_dim_v: found 8193, expected 1 to 8192"},
      {group(attention, [](auto* g) { g->set_unit_bytes(1); }),
       "groups[1].unit_bytes: found 1, expected 0 with GROUP_KIND_ATTENTION"},
      {group(latent, [](auto* g) { g->set_kv_heads(2); }),
       "groups[1].kv_heads: found 2, expected 1 with GROUP_KIND_LATENT"},
      {group(latent, [](auto* g) { g->set_head_dim_v(0); }), "groups[1].head_dim_v: found 0"},
      {group(latent, [](auto* g) { g->set_head_dim_v(64); }),
       "rope.rotary_dim: found 128, expected at most 64, the dimensions of groups[1]"},
      {group(latent, [](auto* g) { g->set_unit_bytes(1); }), "groups[1].unit_bytes: found 1"},
      {group(state, [](auto* g) { g->set_unit_bytes(0); }),
       "groups[1].unit_bytes: found 0, expected 1 to 67108864 with GROUP_KIND_STATE"},
      {group(state, [](auto* g) { g->set_unit_bytes((64u << 20) + 1); }),
       "groups[1].unit_bytes: found 67108865"},
      {group(state, [](auto* g) { g->set_unit_bytes(64u << 20); }),
       "groups[1].layers: found a block of 268435456 bytes"},
      {group(state, [](auto* g) { g->set_kv_heads(1); }), "groups[1].kv_heads: found 1"},
      {group(state, [](auto* g) { g->set_window_tokens(1); }),
       "groups[1].window_tokens: found 1, expected 0 with GROUP_KIND_STATE"},
      {group(opaque, [](auto* g) { g->set_unit_bytes(0); }), "groups[1].unit_bytes: found 0"},
      {group(opaque, [](auto* g) { g->set_head_dim_k(1); }), "groups[1].head_dim_k: found 1"},
      {group(opaque, [](auto* g) { g->set_head_dim_v(1); }), "groups[1].head_dim_v: found 1"},
  });
}

// The digest could not cover them: two different manifests would share blocks.
TEST(ManifestFromWireTest, RefusesFieldsOfANewerContract) {
  const auto add = [](google::protobuf::Message* message) {
    message->GetReflection()->MutableUnknownFields(message)->AddVarint(1000, 1);
  };
  ExpectRefused({
      {[=](auto& w) { add(&w); }, "manifest: found a field unknown to this version"},
      {[=](auto& w) { add(w.mutable_rope()); }, "rope: found a field unknown"},
      {[=](auto& w) { add(w.mutable_shard()); }, "shard: found a field unknown"},
      {[=](auto& w) { add(w.mutable_hash_scheme()); }, "hash_scheme: found a field unknown"},
      {[=](auto& w) { add(w.mutable_groups(0)); }, "groups[0]: found a field unknown"},
  });
}

TEST(ManifestFromWireTest, ReportsEveryFaultAtOnce) {
  v1::Manifest wire = ExampleWire();
  wire.clear_model();
  wire.set_block_tokens(0);
  wire.mutable_rope()->set_theta(-1);
  wire.mutable_groups(0)->set_kv_heads(0);
  const std::string refusal = RefusalOf(wire);
  EXPECT_THAT(refusal, HasSubstr("4 faults"));
  for (const char* field : {"model:", "block_tokens:", "rope.theta:", "groups[0].kv_heads:"}) {
    EXPECT_THAT(refusal, HasSubstr(field));
  }
}

TEST(ManifestFromWireTest, RefusalOfTheWorstManifestStaysShort) {
  v1::Manifest wire;
  for (int i = 0; i < 64; ++i) {
    wire.add_groups()->set_name(std::string(100'000, 'n'));
  }
  const std::string refusal = RefusalOf(wire);
  EXPECT_LE(refusal.size(), kErrorTextBytesMax);
  EXPECT_THAT(refusal, HasSubstr(" more"));
}

// Fields of a Manifest with random numbers and bytes: mostly refused, and never a crash.
TEST(ManifestFromWireTest, SurvivesHostileBytes) {
  const uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const google::protobuf::LogSilencer no_complaints_about_utf8;
  int parsed = 0, accepted = 0;
  constexpr int kRounds = 50'000;
  for (int round = 0; round < kRounds; ++round) {
    std::string bytes;
    if (round % 8 == 0) {
      bytes.resize(random() % 200);
      for (char& byte : bytes) byte = static_cast<char>(random());
    } else {
      bytes = ExampleWire().SerializeAsString();
      for (int change = random() % 4; change >= 0; --change) {
        bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
      }
      if (random() % 8 == 0) bytes.resize(random() % bytes.size());
      if (random() % 8 == 0) bytes += bytes;
    }
    v1::Manifest wire;
    if (!wire.ParseFromString(bytes)) continue;
    ++parsed;
    const auto manifest = ManifestFromWire(wire);
    if (!manifest.ok()) {
      ASSERT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
      ASSERT_LE(manifest.status().message().size(), kErrorTextBytesMax);
      continue;
    }
    ++accepted;
    for (const LayerGroup& group : manifest->groups) {
      const auto raw_bytes = RawBytes(ShapeOf(*manifest, group));
      ASSERT_TRUE(raw_bytes.has_value());
      ASSERT_LE(*raw_bytes, 64u << 20);
    }
    const auto again = ManifestFromWire(ManifestToWire(*manifest));
    ASSERT_TRUE(again.ok()) << again.status();
    ASSERT_EQ(ManifestDigest(*again), ManifestDigest(*manifest));
  }
  std::printf("parsed %d, accepted %d of %d\n", parsed, accepted, kRounds);
  EXPECT_GT(parsed, kRounds / 10);
  EXPECT_GT(accepted, kRounds / 100);
  EXPECT_LT(accepted, parsed);
}

}  // namespace
}  // namespace larder
