#include "client/cli/replay_summary.h"

#include <gmock/gmock.h>

namespace larder::cli {
namespace {

using ::testing::HasSubstr;

ReplayResult SampleResult() {
  ReplayResult result;
  result.counts.requests = 12'031;
  result.counts.blocks = 288'500;
  result.counts.hit_blocks = 105'710;
  result.counts.query_tokens = 144'793'823;
  result.counts.hit_tokens = 50'000'000;
  result.counts.raw_bytes = 1 << 20;
  result.counts.stored_bytes = 1 << 19;
  result.counts.put_outcomes[static_cast<size_t>(PutOutcome::kStored)] = 32;
  result.counts.put_outcomes[static_cast<size_t>(PutOutcome::kNoRoom)] = 4;
  result.counts.errors = 3;
  result.counts.errors_by_name["UNAVAILABLE"] = 3;
  result.counts.lookup.Record(std::chrono::microseconds(100));
  result.facts.blocks = 288'500;
  result.facts.ideal_hit_blocks = 105'710;
  result.wall_seconds = 12;
  return result;
}

const ReplaySetup kSetup{.trace = "t.jsonl",
                         .model = "replay-small",
                         .parameters_active = 8e9,
                         .block_tokens = 32,
                         .block_raw_bytes = 32768};

TEST(ReplaySummaryTest, JsonHasEveryPromisedKey) {
  const nlohmann::ordered_json json = ReplaySummaryJson(kSetup, SampleResult());
  for (const char* key :
       {"requests", "blocks", "hit_blocks", "query_tokens", "hit_tokens", "ideal_hit_blocks",
        "raw_bytes", "stored_bytes", "wrong_blocks", "errors", "wall_seconds", "latency_seconds",
        "block_frame_bytes", "gpu_seconds_saved"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  for (const char* call : {"lookup", "get", "put"}) {
    for (const char* quantile : {"p50", "p95", "p99"}) {
      EXPECT_TRUE(json["latency_seconds"][call].contains(quantile)) << call << quantile;
    }
  }
  EXPECT_EQ(json["hit_blocks"], 105'710);
  EXPECT_EQ(json["put_outcomes"]["no_room"], 4);
  EXPECT_NEAR(json["latency_seconds"]["lookup"]["p50"], 100e-6, 2e-6);
  EXPECT_TRUE(json["latency_seconds"]["get"]["p50"].is_null());
  // 2 * 8e9 * 5e7 operations at 395.6 TFLOP/s.
  EXPECT_NEAR(json["gpu_seconds_saved"], 8e17 / (989e12 * 0.4), 1);
}

TEST(ReplaySummaryTest, TextShowsRatesBesideTheIdealAndWhatIsThin) {
  const std::string text = ReplaySummaryText(kSetup, SampleResult());
  EXPECT_THAT(text, HasSubstr("36.64 %  (ideal 36.64 %)"));
  EXPECT_THAT(text, HasSubstr("3, UNAVAILABLE 3"));
  EXPECT_THAT(text, HasSubstr("no_room 4"));
  EXPECT_THAT(text, HasSubstr("KV of 32 tokens per block"));
  EXPECT_THAT(text, HasSubstr("40 % of 989 TFLOP/s"));
}

}  // namespace
}  // namespace larder::cli
