#include "proto/contract/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <set>

#include "tests/unit/proto/contract/example_manifest.h"

namespace larder {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Mutation {
  std::string field;
  std::function<void(Manifest&)> apply;
};

// One change of every field; the group fields are those of the first group.
std::vector<Mutation> Mutations() {
  return {
      {"model", [](Manifest& m) { m.model += "-Instruct"; }},
      {"weights_digest", [](Manifest& m) { m.weights_digest.back() ^= 1; }},
      {"adapter", [](Manifest& m) { m.adapter = "lora"; }},
      {"dtype", [](Manifest& m) { m.dtype = Dtype::kFp16; }},
      {"scale_location", [](Manifest& m) { m.scale_location = ScaleLocation::kInModel; }},
      {"axis_order", [](Manifest& m) { m.axis_order = AxisOrder::kHnd; }},
      {"block_tokens", [](Manifest& m) { m.block_tokens = 128; }},
      {"rope.pairing", [](Manifest& m) { m.rope.pairing = RopePairing::kInterleaved; }},
      {"rope.theta", [](Manifest& m) { m.rope.theta = std::nextafter(m.rope.theta, 0); }},
      {"rope.rotary_dim", [](Manifest& m) { m.rope.rotary_dim = 64; }},
      {"rope.scaling", [](Manifest& m) { m.rope.scaling = "yarn"; }},
      {"rope.scaling_factor", [](Manifest& m) { m.rope.scaling_factor = 4; }},
      {"rope.attention_factor", [](Manifest& m) { m.rope.attention_factor = 1.25; }},
      {"shard.tensor_parallel_rank", [](Manifest& m) { m.shard.tensor_parallel_rank = 1; }},
      {"shard.tensor_parallel_size", [](Manifest& m) { m.shard.tensor_parallel_size = 2; }},
      {"shard.pipeline_rank", [](Manifest& m) { m.shard.pipeline_rank = 1; }},
      {"shard.pipeline_size", [](Manifest& m) { m.shard.pipeline_size = 2; }},
      {"hash_scheme.name", [](Manifest& m) { m.hash_scheme.name = "sglang_sha256"; }},
      {"hash_scheme.seed", [](Manifest& m) { m.hash_scheme.seed = "0"; }},
      {"hash_scheme.probe", [](Manifest& m) { m.hash_scheme.probe.clear(); }},
      {"groups[0].name", [](Manifest& m) { m.groups[0].name = "sliding"; }},
      {"groups[0].kind", [](Manifest& m) { m.groups[0].kind = GroupKind::kLatent; }},
      {"groups[0].layer_begin", [](Manifest& m) { m.groups[0].layer_begin = 1; }},
      {"groups[0].layers", [](Manifest& m) { m.groups[0].layers = 31; }},
      {"groups[0].kv_heads", [](Manifest& m) { m.groups[0].kv_heads = 4; }},
      {"groups[0].head_dim_k", [](Manifest& m) { m.groups[0].head_dim_k = 192; }},
      {"groups[0].head_dim_v", [](Manifest& m) { m.groups[0].head_dim_v = 64; }},
      {"groups[0].window_tokens", [](Manifest& m) { m.groups[0].window_tokens = 4096; }},
      {"groups[0].unit_bytes", [](Manifest& m) { m.groups[0].unit_bytes = 656; }},
  };
}

std::vector<std::string> FieldsOf(const std::vector<FieldDifference>& differences) {
  std::vector<std::string> fields;
  for (const FieldDifference& difference : differences) fields.push_back(difference.field);
  return fields;
}

// A field added to the struct without a mutation, or without a place in the canonical form, shows
// up here: the number of mutations is the number of canonical items but for the count of groups.
TEST(ManifestTest, MutationsCoverEveryCanonicalField) {
  const auto absent = DiffManifests(ExampleManifest(), [] {
    Manifest manifest = ExampleManifest();
    manifest.groups.clear();
    return manifest;
  }());
  const size_t group_fields = absent.size() - 1;
  EXPECT_EQ(Mutations().size(), 20 + group_fields);
  const std::string cbor = CanonicalManifest(ExampleManifest());
  EXPECT_EQ(static_cast<uint8_t>(cbor[0]), 0x98);  // an array with its length in one byte
  EXPECT_EQ(static_cast<uint8_t>(cbor[1]), Mutations().size() + 1);
}

TEST(ManifestTest, EveryFieldChangesTheDigestAndIsNamedByTheDiff) {
  const Manifest original = ExampleManifest();
  for (const Mutation& mutation : Mutations()) {
    Manifest changed = original;
    mutation.apply(changed);
    EXPECT_NE(ManifestDigest(changed), ManifestDigest(original)) << mutation.field;
    const auto differences = DiffManifests(original, changed);
    EXPECT_THAT(FieldsOf(differences), ElementsAre(mutation.field));
    ASSERT_EQ(differences.size(), 1u);
    EXPECT_NE(differences[0].left, differences[0].right) << mutation.field;
    EXPECT_FALSE(differences[0].consequence.empty()) << mutation.field;
  }
}

TEST(ManifestTest, DigestsAreEqualExactlyWhenTheDiffIsEmpty) {
  const uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const std::vector<Mutation> mutations = Mutations();
  int equal = 0, different = 0;
  for (int round = 0; round < 2000; ++round) {
    Manifest left = ExampleManifest(), right = ExampleManifest();
    std::set<std::string> expected;
    for (int change = 0; change < 3; ++change) {
      const Mutation& mutation = mutations[random() % mutations.size()];
      if (expected.count(mutation.field) != 0) continue;
      const int sides = random() % 3;  // both sides, or one of them
      if (sides != 1) mutation.apply(left);
      if (sides != 2) mutation.apply(right);
      // A field changed on both sides is equal again, and must not be picked a second time.
      if (sides != 0) expected.insert(mutation.field);
      if (sides == 0) break;
    }
    const auto fields = FieldsOf(DiffManifests(left, right));
    ASSERT_EQ(std::set<std::string>(fields.begin(), fields.end()), expected);
    ASSERT_EQ(ManifestDigest(left) == ManifestDigest(right), expected.empty());
    ++(expected.empty() ? equal : different);
  }
  EXPECT_GT(equal, 100);
  EXPECT_GT(different, 100);
}

TEST(ManifestTest, DiffShowsValuesAsPeopleReadThem) {
  Manifest changed = ExampleManifest();
  changed.dtype = Dtype::kFp8E4M3;
  changed.rope.theta = 1e6;
  changed.hash_scheme.probe = "\xAB\xCD";
  const auto differences = DiffManifests(ExampleManifest(), changed);
  ASSERT_THAT(FieldsOf(differences), ElementsAre("dtype", "rope.theta", "hash_scheme.probe"));
  EXPECT_EQ(differences[0].left, "bf16");
  EXPECT_EQ(differences[0].right, "fp8_e4m3");
  EXPECT_EQ(differences[1].left, "5e+05");
  EXPECT_EQ(differences[1].right, "1e+06");
  EXPECT_EQ(differences[2].right, "abcd");
}

TEST(ManifestTest, DiffNamesTheFieldsOfAGroupThatOneSideLacks) {
  Manifest changed = ExampleManifest();
  changed.groups.push_back(changed.groups[0]);
  changed.groups[1].name = "sliding";
  const auto differences = DiffManifests(ExampleManifest(), changed);
  ASSERT_EQ(differences.size(), 1 + 9u);
  EXPECT_EQ(differences[0].field, "groups");
  EXPECT_EQ(differences[0].left, "1");
  EXPECT_EQ(differences[0].right, "2");
  EXPECT_EQ(differences[1].field, "groups[1].name");
  EXPECT_EQ(differences[1].left, "absent");
  EXPECT_EQ(differences[1].right, "sliding");
  EXPECT_EQ(DiffManifests(changed, ExampleManifest())[1].right, "absent");
  EXPECT_NE(ManifestDigest(ExampleManifest()), ManifestDigest(changed));
}

TEST(ManifestTest, BytesDoNotMoveBetweenFields) {
  Manifest left = ExampleManifest(), right = ExampleManifest();
  left.model = "ab";
  left.adapter = "c";
  right.model = "a";
  right.adapter = "bc";
  EXPECT_NE(ManifestDigest(left), ManifestDigest(right));
}

TEST(ManifestTest, NegativeZeroIsZeroAndNothingElseIsNormalised) {
  Manifest zero = ExampleManifest(), negative = ExampleManifest();
  zero.rope.theta = 0.0;
  negative.rope.theta = -0.0;
  EXPECT_EQ(ManifestDigest(zero), ManifestDigest(negative));
  EXPECT_THAT(DiffManifests(zero, negative), IsEmpty());
  negative.rope.theta = std::numeric_limits<double>::denorm_min();
  EXPECT_NE(ManifestDigest(zero), ManifestDigest(negative));
}

TEST(ManifestTest, TextNeedNotBeUtf8) {
  Manifest manifest = ExampleManifest();
  manifest.model = "\xFF\xFE\x80";
  EXPECT_NE(ManifestDigest(manifest), ManifestDigest(ExampleManifest()));
}

TEST(SpaceDigestTest, DependsOnTenantManifestAndGroup) {
  const Digest manifest = ManifestDigest(ExampleManifest());
  Digest other = manifest;
  other[31] ^= 1;
  const std::set<Digest> digests = {
      SpaceDigest("default", manifest, "full"), SpaceDigest("other", manifest, "full"),
      SpaceDigest("default", other, "full"),    SpaceDigest("default", manifest, "sliding"),
      SpaceDigest("defaultf", manifest, "ull"), SpaceDigest("", manifest, "full"),
  };
  EXPECT_EQ(digests.size(), 6u);
}

// Published per-token sizes of real models.
TEST(BytesPerTokenTest, MatchesPublishedModels) {
  EXPECT_EQ(BytesPerToken(ExampleManifest()), 131'072u);  // Llama 3.1 8B

  Manifest latent = ExampleManifest();  // DeepSeek-V3
  latent.groups[0].kind = GroupKind::kLatent;
  latent.groups[0].layers = 61;
  latent.groups[0].kv_heads = 1;
  latent.groups[0].head_dim_k = 512;
  latent.groups[0].head_dim_v = 64;
  EXPECT_EQ(BytesPerToken(latent), 70'272u);

  Manifest gemma = ExampleManifest();  // Gemma 3 27B: 52 sliding and 10 global layers
  gemma.groups[0].layers = 10;
  gemma.groups[0].kv_heads = 16;
  gemma.groups.push_back(gemma.groups[0]);
  gemma.groups[1].layers = 52;
  gemma.groups[1].window_tokens = 1024;
  EXPECT_EQ(BytesPerToken(gemma), 507'904u);

  Manifest opaque = ExampleManifest();  // 656-byte fp8 rows
  opaque.groups[0] = {.name = "mla", .kind = GroupKind::kOpaque, .layers = 61, .unit_bytes = 656};
  EXPECT_EQ(BytesPerToken(opaque), 61u * 656);
  opaque.groups[0].kind = GroupKind::kState;
  EXPECT_EQ(BytesPerToken(opaque), 0u);
}

TEST(ShapeOfTest, IsAFullBlockOfTheGroup) {
  const Manifest manifest = ExampleManifest();
  const KvShape expected{.kind = GroupKind::kAttention,
                         .dtype = Dtype::kBf16,
                         .axis_order = AxisOrder::kNhd,
                         .layer_begin = 0,
                         .layers = 32,
                         .kv_heads = 8,
                         .head_dim_k = 128,
                         .head_dim_v = 128,
                         .unit_bytes = 0,
                         .tokens = 256};
  EXPECT_EQ(ShapeOf(manifest, manifest.groups[0]), expected);
}

}  // namespace
}  // namespace larder
