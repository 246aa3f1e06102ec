#include "client/cli/codec_archive.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "client/cli/kv_profile.h"

namespace larder::cli {
namespace {

BlockRecipe Recipe(const std::string& name) {
  std::string why;
  BlockRecipe recipe;
  recipe.plan = *ParsePlan(name, &why);
  recipe.rope = RopeOf(KvProfileOptions{});
  recipe.rope.rotary_dim = 32;
  return recipe;
}

KvCache Small() {
  KvCache cache = MakeKv({.layers = 2, .heads = 2, .head_dim = 32, .tokens = 40});
  cache.layer_begin = 5;
  return cache;
}

TEST(CodecArchiveTest, RoundTripsExactlyWhenExact) {
  const KvCache cache = Small();
  for (const char* name : {"raw", "lossless"}) {
    for (const uint32_t block_tokens : {256u, 40u, 16u}) {
      const auto archive = EncodeArchive(cache, Recipe(name), block_tokens);
      ASSERT_TRUE(archive.ok()) << archive.status();
      EXPECT_EQ(archive->frames, block_tokens == 16 ? 3u : 1u);
      const auto decoded = DecodeArchive(archive->bytes, "x");
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(decoded->cache, cache);
      EXPECT_EQ(decoded->fidelity, Fidelity::kExact);
    }
  }
}

TEST(CodecArchiveTest, LossyCodecsComeBackClose) {
  const KvCache cache = Small();
  for (const char* name : {"fp8", "balanced", "compact"}) {
    const auto archive = EncodeArchive(cache, Recipe(name), 16);
    ASSERT_TRUE(archive.ok()) << archive.status();
    EXPECT_GT(archive->coded_streams, 0u);
    const auto decoded = DecodeArchive(archive->bytes, "x");
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_LT(decoded->fidelity, Fidelity::kExact);
    EXPECT_EQ(decoded->cache.layer_begin, cache.layer_begin);
    EXPECT_EQ(decoded->cache.token_begin, cache.token_begin);
    double error = 0, energy = 0;
    for (uint32_t layer = 0; layer < 2; ++layer) {
      const auto truth = RowsOfHead(cache, StreamKind::kKey, layer, 1);
      const auto found = RowsOfHead(decoded->cache, StreamKind::kKey, layer, 1);
      for (size_t i = 0; i < truth.size(); ++i) {
        error += std::pow(truth[i] - found[i], 2);
        energy += std::pow(truth[i], 2);
      }
    }
    EXPECT_LT(error, 0.06 * energy) << name;
    EXPECT_GT(error, 0) << name;
  }
}

TEST(CodecArchiveTest, RefusesEveryFlippedByteAndEveryCut) {
  const KvCache cache = MakeKv({.layers = 1, .heads = 1, .head_dim = 16, .tokens = 6});
  for (const uint32_t block_tokens : {6u, 3u}) {
    const auto archive = EncodeArchive(cache, Recipe("q8_0"), block_tokens);
    ASSERT_TRUE(archive.ok()) << archive.status();
    ASSERT_TRUE(DecodeArchive(archive->bytes, "x").ok());
    for (size_t at = 0; at < archive->bytes.size(); ++at) {
      std::vector<std::byte> broken = archive->bytes;
      broken[at] ^= std::byte{0x10};
      EXPECT_FALSE(DecodeArchive(broken, "x").ok()) << at;
      broken.assign(archive->bytes.begin(), archive->bytes.begin() + static_cast<long>(at));
      EXPECT_FALSE(DecodeArchive(broken, "x").ok()) << at;
    }
    std::vector<std::byte> longer = archive->bytes;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(DecodeArchive(longer, "x").ok());
  }
}

TEST(CodecArchiveTest, RefusesFramesThatAreNotPartsOfOneCache) {
  const KvCache cache = MakeKv({.layers = 1, .heads = 1, .head_dim = 16, .tokens = 6});
  const auto archive = EncodeArchive(cache, Recipe("raw"), 2);
  ASSERT_EQ(archive->frames, 3u);
  const size_t part = (archive->bytes.size() - 16) / 3;  // equal: raw, two tokens each
  const auto in_order = [&](std::vector<size_t> order) {
    std::vector<std::byte> file(archive->bytes.begin(), archive->bytes.begin() + 16);
    const uint64_t frames = order.size();
    std::memcpy(file.data() + 8, &frames, sizeof(frames));
    for (const size_t i : order) {
      const auto begin = archive->bytes.begin() + static_cast<long>(16 + i * part);
      file.insert(file.end(), begin, begin + static_cast<long>(part));
    }
    return DecodeArchive(file, "x").status().code();
  };
  EXPECT_EQ(in_order({0, 1, 2}), absl::StatusCode::kOk);
  EXPECT_EQ(in_order({0, 1}), absl::StatusCode::kOk);  // the first tokens alone are a cache too
  for (const auto& order : std::vector<std::vector<size_t>>{
           {0, 2}, {0, 0}, {1, 0, 2}, {2, 1, 0}, {0, 2, 1}, {0, 1, 1, 2}, {0}}) {
    EXPECT_EQ(in_order(order), absl::StatusCode::kInvalidArgument) << testing::PrintToString(order);
  }
}

}  // namespace
}  // namespace larder::cli
