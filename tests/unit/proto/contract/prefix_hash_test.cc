#include "proto/contract/prefix_hash.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <numeric>
#include <random>
#include <set>

namespace larder {
namespace {

std::vector<uint32_t> Range(uint32_t begin, uint32_t end) {
  std::vector<uint32_t> tokens(end - begin);
  std::iota(tokens.begin(), tokens.end(), begin);
  return tokens;
}

uint64_t PrintedSeed() {
  const uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

TEST(NativeHashTest, MatchesPublishedVectors) {
  const PrefixHash first = NativeHash({}, Range(0, 16));
  EXPECT_EQ(first.ToHex(), "be5a932f453ea700110e0f40d2e888ddba1e2a449b3a897769618d06407475e8");
  EXPECT_EQ(NativeHash(first, Range(16, 32)).ToHex(),
            "8c7d1a5f9ee4a2733ec55eda1f6a0891e11f92384a016baa6a1b3874adeaef88");
  const std::vector<std::string> whole = {"tenant-a"};
  EXPECT_EQ(NativeHash({}, Range(0, 16), whole).ToHex(),
            "75bb3752c5536864db613c0492e5241d5624c1e307275913d90f2a6ec4d14183");
  const std::vector<std::string> split = {"tenant-", "a"};
  EXPECT_EQ(NativeHash({}, Range(0, 16), split).ToHex(),
            "5ece33da645f21452b3724e8fa1efadbc75243a290a7e8d143ab473fb552d32a");
  const std::vector<uint32_t> last = {0xFFFFFFFF};
  EXPECT_EQ(NativeHash(*PrefixHash::From("\x07"), last).ToHex(),
            "707305f77da68e43e103c8ae328de311cd15351ee8406dca4045934c86a03cb4");
  EXPECT_EQ(NativeProbe(), first);
}

// Bytes that could pass from one part of the preimage to the next must not.
TEST(NativeHashTest, PartsDoNotRunIntoEachOther) {
  const std::string tokens_as_text(8, '\0');
  const std::vector<uint32_t> none, one = {0}, two = {0, 0};
  const std::vector<std::string> empty_key = {""}, keys = {"", ""}, zeros = {tokens_as_text};
  std::set<std::string> hashes;
  size_t made = 0;
  for (const auto& parent :
       {PrefixHash{}, *PrefixHash::From(std::string(1, '\0')), *PrefixHash::From(tokens_as_text)}) {
    for (const auto& tokens : {none, one, two}) {
      for (const auto& extra :
           {ExtraKeys{}, ExtraKeys(empty_key), ExtraKeys(keys), ExtraKeys(zeros)}) {
        hashes.insert(NativeHash(parent, tokens, extra).ToHex());
        ++made;
      }
    }
  }
  EXPECT_EQ(hashes.size(), made);
}

TEST(VllmHashTest, MatchesPublishedVectors) {
  const PrefixHash none = VllmNoneHash("0");
  EXPECT_EQ(none.ToHex(), "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e");
  const PrefixHash first = VllmHash(none, Range(0, 16));
  EXPECT_EQ(first.ToHex(), "d830de3d42c00f25a2949b5d12d98642664a44872c1614c5b0147556276afc9c");
  uint64_t low = 0;
  for (int i = 24; i < 32; ++i) low = low << 8 | first.bytes[i];
  EXPECT_EQ(low, 12687895063098490012u);
  EXPECT_EQ(VllmHash(first, Range(16, 32)).ToHex(),
            "fedd9e4abebebbe6f6cf96b682f08d316063fe2f22a5c552192dd62904fcccac");
  EXPECT_EQ(VllmHash(none, Range(0, 16), "tenant-a").ToHex(),
            "a31aa6d7bd52d1db44c2e2c50ce6687164f2a198c45e6f9c6f5025e7d8dff1f7");
}

// Token ids around every width of a CBOR head; the vector comes from FORMAT.md's Python script.
TEST(VllmHashTest, EncodesTokensOfEveryWidth) {
  const std::vector<uint32_t> tokens = {0,     23,    24,     255,        256,
                                        65535, 65536, 128255, 0x7FFFFFFF, 0xFFFFFFFF};
  EXPECT_EQ(VllmHash(VllmNoneHash("0"), tokens).ToHex(),
            "babd22b3c3c7b3466f8c2a848278dcac4012592d1182efe59420f601efa938dd");
}

TEST(SglangHashTest, MatchesPublishedVectors) {
  const PrefixHash first = SglangHash({}, Range(0, 64));
  EXPECT_EQ(first.ToHex(), "fea7b32778ecbdd7adee1941e98c89cf96bbc762f5f1beb0be24e36a456fbbc5");
  EXPECT_EQ(SglangHash(first, Range(64, 128)).ToHex(),
            "1617a7384eff5e9135098c24794739af884859cdb17c1a61a834e8d6ac997351");
}

TEST(HashChainTest, ChainsFullBlocksOnly) {
  const auto tokens = Range(0, 47);
  const auto chain = HashChain(tokens, {.scheme = HashSchemeKind::kVllm, .seed = "0"});
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0], VllmHash(VllmNoneHash("0"), Range(0, 16)));
  EXPECT_EQ(chain[1], VllmHash(chain[0], Range(16, 32)));
  EXPECT_TRUE(HashChain(Range(0, 15), {}).empty());
  EXPECT_TRUE(HashChain({}, {}).empty());
  EXPECT_TRUE(HashChain(tokens, {.block_tokens = 0}).empty());
}

TEST(HashChainTest, SaltIsHashedIntoTheFirstBlockOnly) {
  const auto tokens = Range(0, 32);
  const auto vllm =
      HashChain(tokens, {.scheme = HashSchemeKind::kVllm, .seed = "0", .salt = "tenant-a"});
  ASSERT_EQ(vllm.size(), 2u);
  EXPECT_EQ(vllm[0], VllmHash(VllmNoneHash("0"), Range(0, 16), "tenant-a"));
  EXPECT_EQ(vllm[1], VllmHash(vllm[0], Range(16, 32)));

  const auto native = HashChain(tokens, {.salt = "tenant-a"});
  const std::vector<std::string> extra = {"tenant-a"};
  ASSERT_EQ(native.size(), 2u);
  EXPECT_EQ(native[0], NativeHash({}, Range(0, 16), extra));
  EXPECT_EQ(native[1], NativeHash(native[0], Range(16, 32)));
  EXPECT_NE(native[1], HashChain(tokens, {})[1]);
}

// What a prefix hash is for: equal exactly as far as the token sequences are equal.
TEST(HashChainTest, ChainsAgreeExactlyOnTheCommonPrefix) {
  std::mt19937_64 random(PrintedSeed());
  for (const auto scheme :
       {HashSchemeKind::kNative, HashSchemeKind::kVllm, HashSchemeKind::kSglang}) {
    for (int round = 0; round < 200; ++round) {
      const uint32_t block_tokens = 1 + random() % 8;
      std::vector<uint32_t> left(block_tokens * (1 + random() % 10));
      for (uint32_t& token : left) token = static_cast<uint32_t>(random());
      std::vector<uint32_t> right = left;
      const size_t changed = random() % right.size();
      right[changed] ^= 1u << random() % 32;
      const ChainOptions options{.scheme = scheme, .block_tokens = block_tokens, .seed = "0"};
      const auto a = HashChain(left, options);
      const auto b = HashChain(right, options);
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i] == b[i], i < changed / block_tokens);
    }
  }
}

TEST(HashSchemeTest, NamesAreReadBack) {
  for (const auto scheme :
       {HashSchemeKind::kNative, HashSchemeKind::kVllm, HashSchemeKind::kSglang}) {
    EXPECT_EQ(HashSchemeFromName(HashSchemeName(scheme)), scheme);
  }
  EXPECT_EQ(HashSchemeFromName(""), std::nullopt);
  EXPECT_EQ(HashSchemeFromName("unknown"), std::nullopt);
  EXPECT_EQ(HashSchemeFromName("Larder"), std::nullopt);
}

TEST(ProbeHashTest, IsTheFirstBlockOfTheSchemesChain) {
  EXPECT_EQ(ProbeHash(HashSchemeKind::kNative, "", 16), NativeProbe());
  EXPECT_EQ(ProbeHash(HashSchemeKind::kVllm, "0", 16).ToHex(),
            "d830de3d42c00f25a2949b5d12d98642664a44872c1614c5b0147556276afc9c");
  EXPECT_NE(ProbeHash(HashSchemeKind::kVllm, "1", 16), ProbeHash(HashSchemeKind::kVllm, "0", 16));
  EXPECT_EQ(ProbeHash(HashSchemeKind::kSglang, "", 64), SglangHash({}, Range(0, 64)));
  EXPECT_TRUE(ProbeHash(HashSchemeKind::kNative, "", 0).empty());
}

}  // namespace
}  // namespace larder
