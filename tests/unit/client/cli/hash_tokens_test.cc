#include "client/cli/hash_tokens.h"

#include <gmock/gmock.h>

#include <numeric>

#include "proto/contract/prefix_hash.h"

namespace larder::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<uint32_t> Tokens(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 0u);
  return tokens;
}

std::vector<std::string> Hex(const absl::StatusOr<std::vector<PrefixHash>>& hashes) {
  std::vector<std::string> hex;
  if (!hashes.ok()) return {std::string(hashes.status().message())};
  for (const PrefixHash& hash : *hashes) hex.push_back(hash.ToHex());
  return hex;
}

TEST(HashTokensTest, MatchesVllm) {
  HashTokensOptions options{.scheme = "vllm", .seed = "0"};
  const auto hashes = HashTokens(Tokens(40), options);
  EXPECT_THAT(Hex(hashes),
              ElementsAre("d830de3d42c00f25a2949b5d12d98642664a44872c1614c5b0147556276afc9c",
                          "fedd9e4abebebbe6f6cf96b682f08d316063fe2f22a5c552192dd62904fcccac"));
  EXPECT_EQ(LowBits((*hashes)[0]), 12687895063098490012u);
  options.salt = "tenant-a";
  EXPECT_THAT(Hex(HashTokens(Tokens(16), options)),
              ElementsAre("a31aa6d7bd52d1db44c2e2c50ce6687164f2a198c45e6f9c6f5025e7d8dff1f7"));
}

TEST(HashTokensTest, MatchesSglang) {
  EXPECT_THAT(Hex(HashTokens(Tokens(128), {.scheme = "sglang", .block_tokens = 64})),
              ElementsAre("fea7b32778ecbdd7adee1941e98c89cf96bbc762f5f1beb0be24e36a456fbbc5",
                          "1617a7384eff5e9135098c24794739af884859cdb17c1a61a834e8d6ac997351"));
}

TEST(HashTokensTest, NativeIsTheProbeThatServersAnnounce) {
  EXPECT_THAT(Hex(HashTokens(Tokens(16), {})), ElementsAre(NativeProbe().ToHex()));
  EXPECT_TRUE(HashTokens(Tokens(15), {})->empty());
}

TEST(HashTokensTest, TeachesWhatASchemeNeeds) {
  const auto message = [](HashTokensOptions options) {
    const absl::Status status = HashTokens(Tokens(16), options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(message({.scheme = "vllm"}), HasSubstr("PYTHONHASHSEED"));
  EXPECT_THAT(message({.scheme = "sha256"}), HasSubstr("sha256_cbor"));
  EXPECT_THAT(message({.scheme = "md5"}), HasSubstr("native, vllm or sglang"));
  EXPECT_THAT(message({.seed = "0"}), HasSubstr("--seed"));
  EXPECT_THAT(message({.scheme = "sglang", .salt = "a"}), HasSubstr("--salt"));
  EXPECT_THAT(message({.block_tokens = 0}), HasSubstr("--block-tokens"));
}

TEST(HashTokensTest, ReadsIdsInAnyCommonForm) {
  EXPECT_THAT(*ParseTokenIds("0 1\n2,3"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(*ParseTokenIds("[4294967295, 7]\n"), ElementsAre(4294967295u, 7));
  EXPECT_TRUE(ParseTokenIds(" \n")->empty());
  for (const char* text : {"1 x", "4294967296", "-1", "1.5"}) {
    EXPECT_EQ(ParseTokenIds(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace larder::cli
