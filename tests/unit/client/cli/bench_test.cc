#include "client/cli/bench.h"

#include <gmock/gmock.h>

#include <set>
#include <string>

#include "proto/contract/convert.h"
#include "tests/unit/client/cli/fake_block_store.h"

namespace larder::cli {
namespace {

BenchOptions SmallOptions(BenchOp op) {
  return {.op = op,
          .block_bytes = 100,
          .blocks = 12,
          .batch = 3,
          .concurrency = 2,
          .seconds = 0.05,
          .nonce = 9};
}

TEST(BenchTest, RefusesOptionsThatCanNotWork) {
  FakeBlockStore store;
  const auto code = [&](BenchOptions options) {
    return Bench::Create(store, options).status().code();
  };
  BenchOptions options = SmallOptions(BenchOp::kGet);
  EXPECT_EQ(code(options), absl::StatusCode::kOk);
  options.blocks = 13;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
  options.blocks = 3;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
  options = SmallOptions(BenchOp::kGet);
  options.block_bytes = 0;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
  options.block_bytes = uint64_t{1} << 40;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
}

TEST(BenchTest, GetsWhatItPrepared) {
  FakeBlockStore store;
  auto bench = Bench::Create(store, SmallOptions(BenchOp::kGet));
  ASSERT_TRUE(bench->Prepare(nullptr).ok());
  EXPECT_EQ(store.size(), 12u);
  const BenchResult result = bench->Measure();
  EXPECT_GT(result.ops, 0u);
  EXPECT_EQ(result.blocks, 3 * result.ops);
  EXPECT_EQ(result.bytes, 300 * result.ops);
  EXPECT_EQ(result.misses, 0u);
  EXPECT_EQ(result.errors, 0u);
  EXPECT_EQ(result.latency.count(), result.ops);
}

TEST(BenchTest, LooksUpWholeChainsWithoutBytes) {
  FakeBlockStore store;
  auto bench = Bench::Create(store, SmallOptions(BenchOp::kLookup));
  ASSERT_TRUE(bench->Prepare(nullptr).ok());
  const BenchResult result = bench->Measure();
  EXPECT_EQ(result.blocks, 3 * result.ops);
  EXPECT_EQ(result.bytes, 0u);
  EXPECT_EQ(store.gets, 0u);
}

TEST(BenchTest, PutsNewKeysInEveryRound) {
  FakeBlockStore store(/*capacity=*/1000);
  auto bench = Bench::Create(store, SmallOptions(BenchOp::kPut));
  ASSERT_TRUE(bench->Prepare(nullptr).ok());
  EXPECT_EQ(store.size(), 0u);
  const BenchResult result = bench->Measure();
  std::set<std::string> keys;
  for (const PutBlock& put : store.puts) keys.emplace(put.hash.view());
  EXPECT_EQ(keys.size(), 3 * result.ops);
  EXPECT_EQ(result.misses, 0u);
}

TEST(BenchTest, CountsMissesAndStopsAtAnError) {
  FakeBlockStore store;
  auto bench = Bench::Create(store, SmallOptions(BenchOp::kGet));
  const BenchResult misses = bench->Measure();  // nothing was prepared
  EXPECT_EQ(misses.misses, 3 * misses.ops);
  EXPECT_EQ(misses.bytes, 0u);
  store.fail_calls = 1'000'000;
  const BenchResult errors = bench->Measure();
  EXPECT_EQ(errors.errors, 2u) << "one per worker";
  EXPECT_EQ(errors.last_error, "restarting");
}

TEST(BenchTest, ManifestIsValidAndHoldsBlocksOfTheAskedSize) {
  const auto manifest = ManifestFromWire(ManifestToWire(BenchManifest(4u << 20)));
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(RawBytes(ShapeOf(*manifest, manifest->groups[0])), 4u << 20);
}

}  // namespace
}  // namespace larder::cli
