#include "client/cli/manifest_file.h"

#include <gmock/gmock.h>

#include "client/cli/models.h"

namespace larder::cli {
namespace {

using ::testing::HasSubstr;

TEST(ManifestFileTest, ReadsBackWhatItPrints) {
  for (const ModelPreset& preset : ModelPresets()) {
    const Manifest manifest = ManifestOf(preset, 32);
    const auto read = ParseManifestJson(ManifestJson(manifest), "file");
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(DiffManifests(manifest, *read).empty()) << preset.name;
  }
}

TEST(ManifestFileTest, NamesTheFileWhenItIsNotAManifest) {
  for (const char* text : {"", "{", "[]", R"({"modle": "x"})"}) {
    const absl::Status status = ParseManifestJson(text, "engine.json").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(std::string(ParseManifestJson("{", "engine.json").status().message()),
              HasSubstr("engine.json"));
}

TEST(ManifestFileTest, NamesTheFieldsOfAFaultyManifest) {
  const absl::Status status = ParseManifestJson(R"({"model": "m"})", "engine.json").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("block_tokens"));
}

TEST(ManifestFileTest, SpaceIdsRoundTrip) {
  EXPECT_EQ(FormatSpaceId(0x1F), "0x000000000000001f");
  EXPECT_EQ(*ParseSpaceId(FormatSpaceId(~SpaceId{0})), ~SpaceId{0});
  EXPECT_EQ(*ParseSpaceId("1f"), 0x1Fu);
  for (const char* text : {"", "0x", "xyz", "1f ", "11111111111111111"}) {
    EXPECT_EQ(ParseSpaceId(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ManifestFileTest, PrefixHashesAreOneTo32BytesOfHex) {
  EXPECT_EQ(ParsePrefixHash("00ff", "HASH")->ToHex(), "00ff");
  EXPECT_EQ(ParsePrefixHash(std::string(64, 'a'), "HASH")->size, 32);
  for (const std::string& text :
       {std::string(), std::string("0"), std::string("0g"), std::string(66, 'a')}) {
    EXPECT_EQ(ParsePrefixHash(text, "HASH").status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace larder::cli
