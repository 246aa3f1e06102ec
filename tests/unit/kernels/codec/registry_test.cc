#include "kernels/codec/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/codec/affine_quantiser.h"

namespace larder {
namespace {

using testing::HasSubstr;

TEST(RegistryTest, ParsesEveryPresetAndFormat) {
  std::string why;
  std::set<std::string_view> names;
  for (const PresetRow& row : Presets()) {
    const auto plan = ParsePlan(row.name, &why);
    ASSERT_TRUE(plan) << row.name << ": " << why;
    EXPECT_EQ(plan->name, row.name);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
  }
  for (const FormatRow& row : Formats()) {
    ASSERT_TRUE(ParsePlan(row.name, &why)) << row.name << ": " << why;
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_FALSE(row.bits.empty() || row.error.empty() || row.source.empty()) << row.name;
    for (const StreamCodec& codec : {row.key, row.value}) {
      EXPECT_EQ(FindTileCodec(codec.id) == nullptr, codec.id == CodecId::kRaw) << row.name;
    }
  }
}

// Bytes per token of Llama-3-8B (32 layers, 8 heads, 128 channels) in blocks of 256 tokens.
TEST(RegistryTest, AffineFormatsHaveThePublishedSizes) {
  const std::pair<const char*, uint64_t> plans[] = {{"q8q4", 53'248},
                                                    {"q4_0", 36'864},
                                                    {"kivi2_g32", 24'576},
                                                    {"kivi2_g128", 18'432},
                                                    {"kitty", 19'712}};
  for (const auto& [name, bytes] : plans) {
    std::string why;
    const auto plan = ParsePlan(name, &why);
    ASSERT_TRUE(plan) << why;
    uint64_t tile_bytes = 0;
    for (const StreamCodec& codec : {plan->key, plan->value}) {
      tile_bytes += FindTileCodec(codec.id)->BytesMax(codec.params, {256, 128});
    }
    EXPECT_EQ(tile_bytes * 32 * 8, bytes * 256) << name;
  }
}

TEST(RegistryTest, ReadsModifiersAndSlashes) {
  std::string why;
  const auto plan = ParsePlan("e4m3+centre+rotate/e5m2", &why);
  ASSERT_TRUE(plan) << why;
  EXPECT_EQ(plan->key.params.transform, kTransformUnrope | kTransformCentre | kTransformRotate);
  EXPECT_EQ(plan->value.params.transform, 0);
  EXPECT_NE(plan->key.params.variant, plan->value.params.variant);
  const auto both = ParsePlan("e4m3+centre+rotate", &why);
  ASSERT_TRUE(both) << why;
  EXPECT_EQ(both->key.params.transform, kTransformUnrope | kTransformCentre | kTransformRotate);
  EXPECT_EQ(both->value.params.transform, kTransformRotate);
}

TEST(RegistryTest, ReadsAffineFormatsOfEveryWidthAxisAndGroup) {
  std::string why;
  const auto plan = ParsePlan("int3_tokens_g64+unrope/int8_channels_g16", &why);
  ASSERT_TRUE(plan) << why;
  EXPECT_EQ(plan->key.id, CodecId::kAffine);
  EXPECT_EQ(plan->key.params.variant, kAffineTokens);
  EXPECT_EQ(plan->key.params.bits, 3);
  EXPECT_EQ(plan->key.params.group, 64);
  EXPECT_EQ(plan->key.params.transform, kTransformUnrope);
  EXPECT_EQ(plan->value.params.variant, kAffineChannels);
  EXPECT_EQ(plan->value.params.bits, 8);
  EXPECT_EQ(plan->value.params.group, 16);
  EXPECT_EQ(ParsePlan("int4_tokens_g32/int4_channels_g32", &why)->key,
            ParsePlan("kivi4_g32", &why)->key);
  EXPECT_EQ(ParsePlan("int2_tokens_g16+unrope", &why)->value.params.transform, 0);
}

TEST(RegistryTest, TakesADenseRotationInPlaceOfTheOther) {
  std::string why;
  const auto plan = ParsePlan("turbo3+haar+centre/q4_0+haar", &why);
  ASSERT_TRUE(plan) << why;
  EXPECT_EQ(plan->key.params.transform, kTransformUnrope | kTransformCentre | kTransformHaar);
  EXPECT_EQ(plan->value.params.transform, kTransformHaar);
  const TileCodec& codec = *FindTileCodec(plan->key.id);
  EXPECT_FALSE(codec.Accepts(plan->value.params, {32, 576}));  // too wide to build
}

TEST(RegistryTest, SaysWhatItDoesNotKnow) {
  std::string why;
  EXPECT_FALSE(ParsePlan("fp9", &why));
  EXPECT_THAT(why, HasSubstr("'fp9'"));
  EXPECT_THAT(why, HasSubstr("e4m3"));
  EXPECT_FALSE(ParsePlan("e4m3+twist", &why));
  EXPECT_THAT(why, HasSubstr("'+twist'"));
  for (const char* name : {"int4", "int5_tokens_g32", "int4_rows_g32", "int4_tokens_g24",
                           "int4_tokens_g272", "int4_tokens_g032", "int4_tokens_g32x",
                           "int_tokens_g32", "int4_tokens_g", "int4_tokens_g70000"}) {
    EXPECT_FALSE(ParsePlan(name, &why)) << name;
  }
  EXPECT_FALSE(ParsePlan("raw/q4_0+unrope", &why));
  EXPECT_THAT(why, HasSubstr("for keys"));
  EXPECT_FALSE(ParsePlan("raw+rotate", &why));
  EXPECT_FALSE(ParsePlan("", &why));
  EXPECT_FALSE(ParsePlan("e4m3/", &why));
}

TEST(RegistryTest, DescriptorsSurviveTheRoundTripAndRefuseOddOnes) {
  std::string why;
  const StreamCodec codec = ParsePlan("e4m3", &why)->key;
  const CodecDescriptor descriptor = DescriptorOf(codec);
  EXPECT_EQ(ReadDescriptor(descriptor), codec);
  EXPECT_EQ(ReadDescriptor(DescriptorOf({})), StreamCodec{});

  CodecDescriptor bad = descriptor;
  bad.codec_id = 999;
  EXPECT_FALSE(ReadDescriptor(bad));
  bad = descriptor;
  bad.params_bytes = 8;
  EXPECT_FALSE(ReadDescriptor(bad));
  StreamCodec odd = codec;
  odd.params.reserved1 = 1;
  EXPECT_FALSE(ReadDescriptor(DescriptorOf(odd)));
  odd = codec;
  odd.params.rope_theta = 10'000;  // a rotation without the transform that uses it
  EXPECT_FALSE(ReadDescriptor(DescriptorOf(odd)));
  odd.params.transform = kTransformUnrope;
  odd.params.rope_pairing = 1;
  odd.params.rope_rotary_dim = 64;
  EXPECT_TRUE(ReadDescriptor(DescriptorOf(odd)));
  odd.params.rope_theta = -1;
  EXPECT_FALSE(ReadDescriptor(DescriptorOf(odd)));
}

TEST(RegistryTest, FramesMayNotChooseTheSeedOfAMatrix) {
  std::string why;
  for (const char* name : {"turbo_prod3", "qjl"}) {
    StreamCodec codec = ParsePlan(name, &why)->key;
    EXPECT_TRUE(ReadDescriptor(DescriptorOf(codec))) << name;
    codec.params.seed ^= 1;
    EXPECT_FALSE(ReadDescriptor(DescriptorOf(codec))) << name;
  }
}

TEST(RegistryTest, PlansClaimTheFidelityOfTheirWorstStream) {
  std::string why;
  EXPECT_EQ(FidelityOf(*ParsePlan("raw", &why)), Fidelity::kExact);
  EXPECT_EQ(FidelityOf(*ParsePlan("raw/e4m3", &why)), Fidelity::kNear);
}

}  // namespace
}  // namespace larder
