#include "client/cli/kv_cache.h"

#include <gtest/gtest.h>

#include <numeric>

#include "client/cli/kv_profile.h"

namespace larder::cli {
namespace {

// 3 layers of 2 heads with 4 and 2 channels, 5 tokens from position 100; every element another.
KvCache Counted() {
  KvCache cache;
  cache.layer_begin = 7;
  cache.heads = 2;
  cache.head_dim_k = 4;
  cache.head_dim_v = 2;
  cache.tokens = 5;
  cache.token_begin = 100;
  uint16_t next = 0;
  for (int layer = 0; layer < 3; ++layer) {
    cache.keys.emplace_back(5 * 2 * 4);
    cache.values.emplace_back(5 * 2 * 2);
    for (uint16_t& x : cache.keys.back()) x = next++;
    for (uint16_t& x : cache.values.back()) x = next++;
  }
  return cache;
}

TEST(KvCacheTest, PiecesCoverTheCacheAndComeBack) {
  const KvCache cache = Counted();
  for (const uint32_t block_tokens : {1u, 2u, 5u, 100u}) {
    const auto pieces = CutIntoPieces(cache, block_tokens);
    ASSERT_TRUE(pieces.ok()) << pieces.status();
    KvCache back = cache;
    for (auto* streams : {&back.keys, &back.values}) {
      for (auto& stream : *streams) std::fill(stream.begin(), stream.end(), 0xFFFF);
    }
    uint64_t bytes = 0;
    for (const KvPiece& piece : *pieces) {
      EXPECT_LE(piece.shape.tokens, block_tokens);
      std::vector<std::byte> raw(*RawBytes(piece.shape));
      GatherPiece(cache, piece, raw);
      ScatterPiece(raw, piece, back);
      bytes += raw.size();
    }
    EXPECT_EQ(bytes, cache.bytes());
    EXPECT_EQ(back, cache);
  }
}

TEST(KvCacheTest, CutsLayersThatDoNotFitAFrame) {
  KvCache cache;
  cache.heads = 64;
  cache.head_dim_k = cache.head_dim_v = 256;
  cache.tokens = 512;
  cache.keys.resize(5);  // 32 MiB a layer; the elements are not looked at
  cache.values.resize(5);
  const auto pieces = CutIntoPieces(cache, 512);
  ASSERT_TRUE(pieces.ok()) << pieces.status();
  uint32_t layers = 0;
  for (const KvPiece& piece : *pieces) {
    EXPECT_NE(RawFrameBytes(piece.shape), 0u);
    EXPECT_EQ(piece.shape.layer_begin, layers);
    layers += piece.shape.layers;
  }
  EXPECT_EQ(layers, 5u);
  EXPECT_GT(pieces->size(), 1u);
}

TEST(KvCacheTest, RefusesACacheWithoutTokens) {
  KvCache cache = Counted();
  cache.tokens = 0;
  EXPECT_EQ(CutIntoPieces(cache, 16).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(KvCacheTest, FindsValuesThatAreNotFinite) {
  KvCache cache = MakeKv({.layers = 1, .heads = 1, .head_dim = 16, .tokens = 4});
  EXPECT_TRUE(IsFinite(cache));
  cache.values[0][3] = 0xFF80;
  EXPECT_FALSE(IsFinite(cache));
  cache.values[0][3] = 0;
  cache.keys[0][5] = 0x7FC1;
  EXPECT_FALSE(IsFinite(cache));
}

}  // namespace
}  // namespace larder::cli
