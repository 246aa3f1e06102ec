// FORMAT.md is what other implementations are written from, so what it shows must be what we
// compute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <numeric>
#include <sstream>

#include "proto/contract/block_key.h"
#include "proto/contract/manifest.h"
#include "proto/contract/prefix_hash.h"
#include "tests/unit/proto/contract/example_manifest.h"

namespace larder {
namespace {

using ::testing::HasSubstr;

std::string FormatMd() {
  std::ifstream file(LARDER_FORMAT_MD);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The ```hex block without its comments.
std::string WorkedExample(const std::string& document) {
  const size_t begin = document.find("```hex\n");
  const size_t end = document.find("```", begin + 7);
  if (begin == std::string::npos || end == std::string::npos) return "";
  std::istringstream lines(document.substr(begin + 7, end - begin - 7));
  std::string hex;
  for (std::string line; std::getline(lines, line);) {
    for (const char c : line.substr(0, line.find(';'))) {
      if (c != ' ') hex.push_back(c);
    }
  }
  return hex;
}

std::vector<uint32_t> Range(uint32_t begin, uint32_t end) {
  std::vector<uint32_t> tokens(end - begin);
  std::iota(tokens.begin(), tokens.end(), begin);
  return tokens;
}

TEST(FormatTest, WorkedExampleIsTheCanonicalManifest) {
  const std::string cbor = CanonicalManifest(ExampleManifest());
  EXPECT_EQ(WorkedExample(FormatMd()),
            ToHex({reinterpret_cast<const uint8_t*>(cbor.data()), cbor.size()}));
}

TEST(FormatTest, ShowsTheDigestsOfTheExample) {
  const std::string document = FormatMd();
  const Digest manifest_digest = ManifestDigest(ExampleManifest());
  EXPECT_THAT(document, HasSubstr("manifest digest | `" + ToHex(manifest_digest) + "`"));
  const Digest space_digest = SpaceDigest("default", manifest_digest, "full");
  EXPECT_THAT(document, HasSubstr("space digest | `" + ToHex(space_digest) + "`"));
  char space_id[17];
  std::snprintf(space_id, sizeof(space_id), "%016llx",
                static_cast<unsigned long long>(SpaceIdOf(space_digest)));
  EXPECT_THAT(document, HasSubstr("space id | `" + std::string(space_id) + "`"));
}

TEST(FormatTest, ShowsTheHashVectors) {
  const std::string document = FormatMd();
  const auto shows = [&](const std::string& row, const PrefixHash& hash) {
    EXPECT_THAT(document, HasSubstr("| " + row + " | `" + hash.ToHex() + "` |\n"));
  };
  const PrefixHash native = NativeHash({}, Range(0, 16));
  const std::vector<std::string> whole = {"tenant-a"}, split = {"tenant-", "a"};
  const std::vector<uint32_t> last = {0xFFFFFFFF};
  shows("1 | none | 0..15 | none", native);
  shows("2 | hash 1 | 16..31 | none", NativeHash(native, Range(16, 32)));
  shows("3 | none | 0..15 | `tenant-a`", NativeHash({}, Range(0, 16), whole));
  shows("4 | none | 0..15 | `tenant-`, `a`", NativeHash({}, Range(0, 16), split));
  shows("5 | the byte `07` | 4294967295 | none", NativeHash(*PrefixHash::From("\x07"), last));

  const PrefixHash none = VllmNoneHash("0");
  const PrefixHash vllm = VllmHash(none, Range(0, 16));
  shows("NONE_HASH", none);
  shows("0..15", vllm);
  shows("then 16..31", VllmHash(vllm, Range(16, 32)));
  shows("0..15, salt `tenant-a`", VllmHash(none, Range(0, 16), "tenant-a"));

  const PrefixHash sglang = SglangHash({}, Range(0, 64));
  shows("0..63", sglang);
  shows("then 64..127", SglangHash(sglang, Range(64, 128)));
}

}  // namespace
}  // namespace larder
