#include "client/cli/replay.h"

#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "client/cli/models.h"
#include "client/cli/trace_generator.h"
#include "tests/unit/client/cli/fake_block_store.h"

namespace larder::cli {
namespace {

constexpr uint32_t kBlockTokens = 1;

const SyntheticKv& Kv() {
  static const SyntheticKv kKv = [] {
    const Manifest manifest = ManifestOf(*FindModelPreset(kReplayModel), kBlockTokens);
    return *SyntheticKv::Create(ShapeOf(manifest, manifest.groups[0]), manifest.rope, 1);
  }();
  return kKv;
}

ReplayOptions FastOptions() {
  return {.verify = true, .backoff_first = Milliseconds(0), .backoff_max = Milliseconds(0)};
}

ReplayResult RunReplay(std::span<const TraceRequest> requests, FakeBlockStore& store,
                       const ReplayOptions& options = FastOptions()) {
  return Replay(requests, store, Kv(), kBlockTokens, options);
}

const std::vector<TraceRequest>& TwoTurns() {
  static const std::vector<TraceRequest> kRequests = {{0, 1100, 9, {0, 1, 2}},
                                                      {500, 1700, 9, {0, 1, 3, 4}}};
  return kRequests;
}

TEST(ReplayTest, ReachesTheIdealWhenEverythingFits) {
  const auto requests = GenerateTrace({.requests = 400});
  FakeBlockStore store;
  const ReplayResult result = RunReplay(requests, store);
  const ReplayCounts& counts = result.counts;
  EXPECT_EQ(counts.requests, 400u);
  EXPECT_EQ(counts.blocks, result.facts.blocks);
  EXPECT_EQ(counts.hit_blocks, result.facts.ideal_hit_blocks);
  EXPECT_EQ(counts.hit_tokens, result.facts.ideal_hit_tokens);
  EXPECT_EQ(counts.query_tokens, result.facts.query_tokens);
  EXPECT_EQ(store.size(), result.facts.unique_blocks);
  EXPECT_EQ(counts.raw_bytes, result.facts.unique_blocks * Kv().block_bytes());
  EXPECT_EQ(counts.stored_bytes, result.facts.unique_blocks * 1000);
  EXPECT_EQ(counts.block_frame_bytes, 1000u);
  EXPECT_EQ(counts.wrong_blocks, 0u);
  EXPECT_EQ(counts.errors, 0u);
  EXPECT_EQ(store.leases_open, 0u);
  EXPECT_EQ(counts.lookup.count(), 400u);
}

TEST(ReplayTest, PutsMissingBlocksWithTheirParents) {
  FakeBlockStore store;
  RunReplay(TwoTurns(), store);
  ASSERT_EQ(store.puts.size(), 5u);
  EXPECT_TRUE(store.puts[0].parent.empty());
  EXPECT_EQ(store.puts[1].parent, store.puts[0].hash);
  EXPECT_EQ(store.puts[2].parent, store.puts[1].hash);
  EXPECT_EQ(store.puts[3].parent, store.puts[1].hash) << "the second turn leaves the partial block";
  EXPECT_EQ(store.puts[4].parent, store.puts[3].hash);
  EXPECT_EQ(store.puts[3].token_begin, 2u * kBlockTokens);
}

TEST(ReplayTest, WithoutHintsNothingIsSaidAboutRetention) {
  FakeBlockStore store;
  RunReplay(TwoTurns(), store);
  for (const PutBlock& put : store.puts) EXPECT_FALSE(put.retention.priority.has_value());
}

TEST(ReplayTest, TurnHintsRaiseLaterTurnsAndLowerPartialBlocks) {
  FakeBlockStore store;
  ReplayOptions options = FastOptions();
  options.hints = PriorityHints::kTurn;
  options.speed = 1000;
  RunReplay(TwoTurns(), store, options);
  ASSERT_EQ(store.puts.size(), 5u);
  EXPECT_FALSE(store.puts[0].retention.priority.has_value());
  EXPECT_FALSE(store.puts[1].retention.priority.has_value());
  EXPECT_EQ(store.puts[2].retention.priority, kPartialPriority);
  EXPECT_EQ(store.puts[3].retention.priority, kContinuedPriority);
  EXPECT_EQ(store.puts[3].retention.priority_duration, kContinuedDuration / 1000);
  EXPECT_EQ(store.puts[4].retention.priority, kPartialPriority);
}

TEST(ReplayTest, ABlockMissedInBetweenEndsThePrefixAndIsPutAgain) {
  FakeBlockStore store;
  RunReplay(TwoTurns(), store);
  store.puts.clear();
  store.miss_at = 1;
  const ReplayResult result = RunReplay(std::span(TwoTurns()).subspan(1), store);
  EXPECT_EQ(result.counts.hit_blocks, 1u);
  EXPECT_EQ(result.counts.hit_tokens, 512u);
  ASSERT_EQ(store.puts.size(), 1u);
  EXPECT_EQ(store.puts[0].hash, ChainOf(TwoTurns()[1])[1]);
  EXPECT_EQ(result.counts.errors, 0u);
}

TEST(ReplayTest, CountsBlocksThatComeBackWrong) {
  FakeBlockStore store;
  RunReplay(TwoTurns(), store);
  store.corrupt_at = 2;
  const ReplayResult result = RunReplay(std::span(TwoTurns()).subspan(1), store);
  EXPECT_EQ(result.counts.wrong_blocks, 1u);
  EXPECT_EQ(result.counts.hit_blocks, 2u);
}

TEST(ReplayTest, WithoutVerifyOnlyTheLibraryChecksBytes) {
  FakeBlockStore store;
  RunReplay(TwoTurns(), store);
  store.corrupt_at = 2;
  ReplayOptions options = FastOptions();
  options.verify = false;
  const ReplayResult result = RunReplay(std::span(TwoTurns()).subspan(1), store, options);
  EXPECT_EQ(result.counts.wrong_blocks, 0u);
  EXPECT_EQ(result.counts.hit_blocks, 4u);
}

TEST(ReplayTest, SplitsCallsAtTheBatchLimit) {
  FakeBlockStore store;
  ReplayOptions options = FastOptions();
  options.batch_bytes_max = 3 * Kv().block_bytes();
  const auto requests = GenerateTrace({.requests = 50});
  const ReplayResult result = RunReplay(requests, store, options);
  EXPECT_EQ(store.batch_blocks_max, 3u);
  EXPECT_EQ(result.counts.hit_blocks, result.facts.ideal_hit_blocks);
}

TEST(ReplayTest, GoesOnAfterAnOutageAndCountsIt) {
  FakeBlockStore store;
  store.fail_calls = 5;
  const auto requests = GenerateTrace({.requests = 60});
  const ReplayResult result = RunReplay(requests, store);
  EXPECT_EQ(result.counts.requests, 60u);
  EXPECT_EQ(result.counts.errors, 5u);
  EXPECT_EQ(result.counts.errors_by_name.at("UNAVAILABLE"), 5u);
  EXPECT_FALSE(result.gave_up);
  EXPECT_GT(result.counts.hit_blocks, 0u);
  EXPECT_LE(result.counts.hit_blocks, result.facts.ideal_hit_blocks);
}

TEST(ReplayTest, GivesUpWhenNothingAnswers) {
  FakeBlockStore store;
  store.fail_calls = 1'000'000;
  ReplayOptions options = FastOptions();
  options.failures_in_row_max = 7;
  const auto requests = GenerateTrace({.requests = 60});
  const ReplayResult result = RunReplay(requests, store, options);
  EXPECT_TRUE(result.gave_up);
  EXPECT_EQ(result.counts.requests, 7u);
  EXPECT_EQ(result.facts.requests, 7u);
  EXPECT_EQ(result.last_error, "restarting");
}

TEST(ReplayTest, ConcurrentWorkersReplayEveryRequestOnce) {
  FakeBlockStore store;
  ReplayOptions options = FastOptions();
  options.concurrency = 4;
  const auto requests = GenerateTrace({.requests = 300});
  std::atomic<int> progress = 0;
  const ReplayResult result =
      Replay(requests, store, Kv(), kBlockTokens, options, [&] { ++progress; });
  EXPECT_EQ(progress, 300);
  EXPECT_EQ(result.counts.requests, 300u);
  EXPECT_EQ(result.counts.blocks, result.facts.blocks);
  EXPECT_EQ(store.size(), result.facts.unique_blocks);
  EXPECT_EQ(result.counts.wrong_blocks, 0u);
  EXPECT_EQ(result.counts.errors, 0u);
  EXPECT_EQ(store.leases_open, 0u);
}

TEST(ReplayTest, ChainsDependOnEveryIdBefore) {
  const auto a = ChainOf({0, 1536, 0, {0, 1, 2}});
  const auto b = ChainOf({0, 1536, 0, {0, 7, 2}});
  EXPECT_EQ(a[0], b[0]);
  EXPECT_NE(a[1], b[1]);
  EXPECT_NE(a[2], b[2]);
  // An id's high half counts too.
  EXPECT_NE(ChainOf({0, 1, 0, {1}}), ChainOf({0, 1, 0, {1 | uint64_t{1} << 32}}));
}

// The facts of the conversation trace, against an LRU with tail-first touch.
TEST(ReplayTest, LruHitRatesOfTheConversationTrace) {
  if (!std::ifstream(LARDER_CONVERSATION_TRACE)) {
    GTEST_SKIP() << "no trace at " << LARDER_CONVERSATION_TRACE;
  }
  const auto requests = ReadTraceFile(LARDER_CONVERSATION_TRACE);
  ASSERT_TRUE(requests.ok()) << requests.status();
  ReplayOptions options = FastOptions();
  options.verify = false;
  const std::pair<size_t, double> kFacts[] = {{5'000, 0.112}, {10'000, 0.212}, {SIZE_MAX, 0.3664}};
  for (const auto& [capacity, expected] : kFacts) {
    FakeBlockStore store(capacity, /*keep_bytes=*/false);
    const ReplayResult result = RunReplay(*requests, store, options);
    const double rate =
        static_cast<double>(result.counts.hit_blocks) / static_cast<double>(result.counts.blocks);
    EXPECT_NEAR(rate, expected, capacity == SIZE_MAX ? 0.0001 : 0.005) << capacity;
    EXPECT_EQ(result.counts.errors, 0u);
  }
}

}  // namespace
}  // namespace larder::cli
