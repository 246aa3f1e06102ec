#include "client/cli/models.h"

#include <gmock/gmock.h>

#include "proto/contract/convert.h"

namespace larder::cli {
namespace {

uint64_t TokenBytes(std::string_view name) {
  return BytesPerToken(ManifestOf(*FindModelPreset(name), 16));
}

TEST(ModelsTest, BytesPerTokenAreThePublishedOnes) {
  EXPECT_EQ(TokenBytes("gpt2-xl"), 307'200u);
  EXPECT_EQ(TokenBytes("llama-3-8b"), 131'072u);
  EXPECT_EQ(TokenBytes("llama-3-70b"), 327'680u);
  EXPECT_EQ(TokenBytes("deepseek-v3"), 70'272u);
  EXPECT_EQ(TokenBytes("replay-small"), 1'024u);
}

TEST(ModelsTest, EveryPresetIsAValidManifest) {
  for (const ModelPreset& preset : ModelPresets()) {
    const Manifest manifest = ManifestOf(preset, 16);
    const auto checked = ManifestFromWire(ManifestToWire(manifest));
    ASSERT_TRUE(checked.ok()) << preset.name << ": " << checked.status();
    EXPECT_EQ(ManifestDigest(*checked), ManifestDigest(manifest));
    EXPECT_GT(preset.parameters_active, 0);
  }
}

TEST(ModelsTest, AnUnknownNameListsTheKnownOnes) {
  const absl::Status status = FindModelPreset("gpt-9").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("llama-3-8b"));
}

TEST(ModelsTest, PrefillTimeIsTheStatedModel) {
  // 10,000 tokens through 8.03e9 parameters: 1.606e14 operations.
  EXPECT_NEAR(PrefillSeconds(8.03e9, 10'000), 1.606e14 / (0.4 * 989e12), 1e-9);
}

}  // namespace
}  // namespace larder::cli
