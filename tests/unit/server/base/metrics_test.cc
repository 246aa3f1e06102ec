#include "server/base/metrics.h"

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::server {
namespace {

TierTokens Hits(TierKind tier, uint64_t tokens) {
  TierTokens hits;
  hits[tier] = tokens;
  return hits;
}

// Series ("name{labels}") to value; fails on a line that is neither a comment nor a sample.
std::map<std::string, double> SamplesOf(const std::string& text) {
  std::map<std::string, double> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    EXPECT_NE(space, std::string::npos) << line;
    const bool is_new =
        samples.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second;
    EXPECT_TRUE(is_new) << "twice: " << line;
  }
  return samples;
}

double Value(Metrics& metrics, const std::string& series) {
  const auto samples = SamplesOf(metrics.Scrape());
  const auto found = samples.find(series);
  return found == samples.end() ? -1 : found->second;
}

TEST(MetricsTest, WeighsLookupsByTokens) {
  Metrics metrics;
  SpaceMetrics* space = metrics.AddSpace("acme", "llama", "full");
  metrics.CountLookup(space, 1000, Hits(TierKind::kDram, 600), MissReason::kEvicted);
  metrics.CountLookup(space, 50, Hits(TierKind::kHbm, 50), MissReason::kNone);
  metrics.CountLookup(space, 7, {}, MissReason::kNeverSeen);
  const auto samples = SamplesOf(metrics.Scrape());
  const std::string label = "space=\"acme/llama/full\"";
  EXPECT_EQ(samples.at("larder_lookup_tokens_total{" + label + "}"), 1057);
  EXPECT_EQ(samples.at("larder_hit_tokens_total{" + label + ",tier=\"dram\"}"), 600);
  EXPECT_EQ(samples.at("larder_hit_tokens_total{" + label + ",tier=\"hbm\"}"), 50);
  EXPECT_EQ(samples.at("larder_hit_tokens_total{" + label + ",tier=\"ssd\"}"), 0);
  EXPECT_EQ(samples.at("larder_miss_tokens_total{reason=\"evicted\"," + label + "}"), 400);
  EXPECT_EQ(samples.at("larder_miss_tokens_total{reason=\"never_seen\"," + label + "}"), 7);
  EXPECT_EQ(samples.at("larder_miss_tokens_total{reason=\"none\"," + label + "}"), 0);
}

TEST(MetricsTest, GivesOneObjectPerSpaceName) {
  Metrics metrics;
  SpaceMetrics* first = metrics.AddSpace("t", "m", "g");
  EXPECT_EQ(metrics.AddSpace("t", "m", "g"), first);
  EXPECT_NE(metrics.AddSpace("t", "m", "h"), first);
}

TEST(MetricsTest, BoundsTheSpaceSeries) {
  Metrics metrics;
  std::set<SpaceMetrics*> spaces;
  for (size_t i = 0; i < kSpaceSeriesMax; ++i) {
    spaces.insert(metrics.AddSpace("t", std::to_string(i), "g"));
  }
  EXPECT_EQ(spaces.size(), kSpaceSeriesMax);
  SpaceMetrics* other = metrics.AddSpace("t", "late", "g");
  EXPECT_FALSE(spaces.contains(other));
  EXPECT_EQ(metrics.AddSpace("t", "later", "g"), other);
  // A known name keeps its own series after the bound is reached.
  EXPECT_TRUE(spaces.contains(metrics.AddSpace("t", "0", "g")));
  metrics.CountLookup(other, 5, {}, MissReason::kNeverSeen);
  EXPECT_EQ(Value(metrics, "larder_lookup_tokens_total{space=\"other\"}"), 5);
  EXPECT_EQ(Value(metrics, "larder_lookup_tokens_total{space=\"t/late/g\"}"), -1);
}

TEST(MetricsTest, EscapesSpaceNames) {
  Metrics metrics;
  metrics.CountLookup(metrics.AddSpace("a\"b", "c\\d", "e\nf"), 5, Hits(TierKind::kDram, 5),
                      MissReason::kNone);
  EXPECT_EQ(Value(metrics, R"(larder_lookup_tokens_total{space="a\"b/c\\d/e\nf"})"), 5);
}

TEST(MetricsTest, CountsBytesOfStoredBlocksOnly) {
  Metrics metrics;
  metrics.CountPutBlock(PutOutcome::kStored, 100, 300);
  metrics.CountPutBlock(PutOutcome::kStored, 10, 30);
  metrics.CountPutBlock(PutOutcome::kAlreadyPresent, 1000, 1000);
  metrics.CountPutBlock(PutOutcome::kNoRoom, 1000, 1000);
  const auto samples = SamplesOf(metrics.Scrape());
  EXPECT_EQ(samples.at("larder_put_blocks_total{outcome=\"stored\"}"), 2);
  EXPECT_EQ(samples.at("larder_put_blocks_total{outcome=\"already_present\"}"), 1);
  EXPECT_EQ(samples.at("larder_put_blocks_total{outcome=\"no_room\"}"), 1);
  EXPECT_EQ(samples.at("larder_put_blocks_total{outcome=\"conflict\"}"), 0);
  EXPECT_EQ(samples.at("larder_ingest_bytes_total"), 110);
  EXPECT_EQ(samples.at("larder_ingest_raw_bytes_total"), 330);
}

TEST(MetricsTest, CountsGets) {
  Metrics metrics;
  metrics.CountGetHit(4096);
  metrics.CountGetHit(1);
  metrics.CountGetMiss(MissReason::kQuarantined);
  const auto samples = SamplesOf(metrics.Scrape());
  EXPECT_EQ(samples.at("larder_get_hit_blocks_total"), 2);
  EXPECT_EQ(samples.at("larder_egress_bytes_total"), 4097);
  EXPECT_EQ(samples.at("larder_get_miss_blocks_total{reason=\"quarantined\"}"), 1);
}

TEST(MetricsTest, CountsRemovalsByPriorityBand) {
  struct Case {
    uint8_t priority;
    std::string band;
  };
  for (const Case& c : std::vector<Case>{{0, "0-19"},
                                         {19, "0-19"},
                                         {20, "20-39"},
                                         {35, "20-39"},
                                         {40, "40-59"},
                                         {60, "60-79"},
                                         {79, "60-79"},
                                         {80, "80-100"},
                                         {100, "80-100"}}) {
    Metrics metrics;
    metrics.CountRemoval(RemovalReason::kExpired, c.priority);
    EXPECT_EQ(Value(metrics, "larder_removed_blocks_total{priority_band=\"" + c.band +
                                 "\",reason=\"expired\"}"),
              1)
        << int{c.priority};
  }
}

TEST(MetricsTest, CountsRequestsAndTheirSeconds) {
  Metrics metrics;
  metrics.CountRequest(Method::kGet, 0, 0.003);
  metrics.CountRequest(Method::kGet, 8, 40);
  metrics.CountRequest(Method::kPut, 99, 0);
  metrics.CountRequest(Method::kPut, -1, 0);
  const auto samples = SamplesOf(metrics.Scrape());
  EXPECT_EQ(samples.at("larder_requests_total{code=\"OK\",method=\"Get\"}"), 1);
  EXPECT_EQ(samples.at("larder_requests_total{code=\"RESOURCE_EXHAUSTED\",method=\"Get\"}"), 1);
  EXPECT_EQ(samples.at("larder_requests_total{code=\"UNKNOWN\",method=\"Put\"}"), 2);
  EXPECT_EQ(samples.at("larder_request_duration_seconds_count{method=\"Get\"}"), 2);
  EXPECT_DOUBLE_EQ(samples.at("larder_request_duration_seconds_sum{method=\"Get\"}"), 40.003);
  EXPECT_EQ(samples.at("larder_request_duration_seconds_bucket{method=\"Get\",le=\"0.0025\"}"), 0);
  EXPECT_EQ(samples.at("larder_request_duration_seconds_bucket{method=\"Get\",le=\"30\"}"), 1);
  EXPECT_EQ(samples.at("larder_request_duration_seconds_bucket{method=\"Get\",le=\"+Inf\"}"), 2);
}

TEST(MetricsTest, CountsWireErrorsOfFaultyPeersOnly) {
  Metrics metrics;
  for (int code = 0; code <= 16; ++code) metrics.CountRequest(Method::kLookup, code, 0);
  std::set<std::string> seen;
  for (const auto& [series, value] : SamplesOf(metrics.Scrape())) {
    if (!series.starts_with("larder_wire_errors_total")) continue;
    EXPECT_EQ(value, 1) << series;
    seen.insert(series);
  }
  EXPECT_THAT(seen, testing::ElementsAre("larder_wire_errors_total{code=\"DATA_LOSS\"}",
                                         "larder_wire_errors_total{code=\"INVALID_ARGUMENT\"}",
                                         "larder_wire_errors_total{code=\"OUT_OF_RANGE\"}",
                                         "larder_wire_errors_total{code=\"UNIMPLEMENTED\"}"));
}

TEST(MetricsTest, ShowsGaugesOfTheMomentOfTheScrape) {
  Metrics metrics;
  EXPECT_EQ(Value(metrics, "larder_leases"), -1) << "no source yet";
  GaugeSample sample{.dram = {.budget_bytes = uint64_t{16} << 40, .used_bytes = 4097, .slabs = 3},
                     .blocks = 4,
                     .blocks_max = 5,
                     .pinned_blocks = 6,
                     .leases = 7,
                     .spaces = 8,
                     .put_streams = 9,
                     .get_streams = 10,
                     .streams_max = 11,
                     .ingest_bytes_in_flight = 12,
                     .ingest_bytes_max = 13,
                     .event_watchers = 14,
                     .draining = true};
  metrics.SetGaugeSource([&] { return sample; });
  const auto samples = SamplesOf(metrics.Scrape());
  const std::map<std::string, double> expected = {
      {"larder_tier_budget_bytes{tier=\"dram\"}", 17592186044416.0},
      {"larder_tier_used_bytes{tier=\"dram\"}", 4097},
      {"larder_tier_blocks{tier=\"dram\"}", 3},
      {"larder_index_blocks", 4},
      {"larder_index_blocks_max", 5},
      {"larder_pinned_blocks", 6},
      {"larder_leases", 7},
      {"larder_spaces", 8},
      {"larder_streams{kind=\"put\"}", 9},
      {"larder_streams{kind=\"get\"}", 10},
      {"larder_streams_max", 11},
      {"larder_ingest_in_flight_bytes", 12},
      {"larder_ingest_in_flight_bytes_max", 13},
      {"larder_event_watchers", 14},
      {"larder_draining", 1}};
  for (const auto& [series, value] : expected) {
    ASSERT_TRUE(samples.contains(series)) << series;
    EXPECT_EQ(samples.at(series), value) << series;
  }
  sample.leases = 70;
  EXPECT_EQ(Value(metrics, "larder_leases"), 70);
}

TEST(MetricsTest, ShowsConfiguredTenants) {
  Metrics metrics;
  GaugeSample sample;
  metrics.SetGaugeSource([&] { return sample; });
  EXPECT_THAT(metrics.Scrape(), testing::Not(testing::HasSubstr("larder_tenant")));
  sample.tenants = {{.tenant = "*", .used_bytes = 1, .evicted_blocks = 2, .no_room_blocks = 3},
                    {.tenant = "chat",
                     .used_bytes = 4,
                     .quota_bytes = 5,
                     .reserve_bytes = 6,
                     .ssd_used_bytes = 7,
                     .ssd_quota_bytes = 8,
                     .ssd_reserve_bytes = 9}};
  EXPECT_THAT(metrics.Scrape(), testing::Not(testing::HasSubstr("larder_tenant_ssd_used_bytes{")));
  sample.ssd.emplace();
  const auto samples = SamplesOf(metrics.Scrape());
  EXPECT_EQ(samples.at("larder_tenant_used_bytes{tenant=\"*\"}"), 1);
  EXPECT_EQ(samples.at("larder_tenant_evicted_blocks_total{tenant=\"*\"}"), 2);
  EXPECT_EQ(samples.at("larder_tenant_no_room_blocks_total{tenant=\"*\"}"), 3);
  EXPECT_EQ(samples.at("larder_tenant_used_bytes{tenant=\"chat\"}"), 4);
  EXPECT_EQ(samples.at("larder_tenant_quota_bytes{tenant=\"chat\"}"), 5);
  EXPECT_EQ(samples.at("larder_tenant_reserve_bytes{tenant=\"chat\"}"), 6);
  EXPECT_FALSE(samples.contains("larder_tenant_quota_bytes{tenant=\"*\"}"));
  EXPECT_EQ(samples.at("larder_tenant_ssd_used_bytes{tenant=\"*\"}"), 0);
  EXPECT_EQ(samples.at("larder_tenant_ssd_used_bytes{tenant=\"chat\"}"), 7);
  EXPECT_EQ(samples.at("larder_tenant_ssd_quota_bytes{tenant=\"chat\"}"), 8);
  EXPECT_EQ(samples.at("larder_tenant_ssd_reserve_bytes{tenant=\"chat\"}"), 9);
}

TEST(MetricsTest, DescribesBuildAndProcess) {
  Metrics metrics;
  EXPECT_EQ(Value(metrics, "larder_build_info{version=\"" LARDER_VERSION "\"}"), 1);
  EXPECT_GT(Value(metrics, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(Value(metrics, "process_cpu_seconds_total"), 0);
}

TEST(MetricsTest, FollowsTheExpositionFormatAndTheNamingRule) {
  Metrics metrics;
  metrics.AddSpace("t", "m", "g");
  metrics.SetGaugeSource([] { return GaugeSample{}; });
  const std::regex type("# TYPE ([a-z_]+) (counter|gauge|histogram)");
  std::set<std::string> names;
  std::istringstream lines(metrics.Scrape());
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (!line.starts_with("# TYPE")) continue;
    ASSERT_TRUE(std::regex_match(line, match, type)) << line;
    const std::string name = match[1];
    EXPECT_TRUE(names.insert(name).second) << "declared twice: " << name;
    EXPECT_TRUE(name.starts_with("larder_") || name.starts_with("process_")) << name;
    EXPECT_EQ(name.ends_with("_total"), match[2] == "counter") << name;
  }
  EXPECT_GE(names.size(), 25u);
}

TEST(MetricsTest, LosesNothingUnderConcurrentCountsAndScrapes) {
  Metrics metrics;
  metrics.SetGaugeSource([] { return GaugeSample{}; });
  constexpr int kThreads = 4;
  constexpr int kCounts = 5'000;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kCounts; ++i) {
          metrics.CountLookup(metrics.AddSpace("t", "m", "g"), 3, Hits(TierKind::kDram, 2),
                              MissReason::kEvicted);
          metrics.CountRequest(Method::kLookup, 0, 1e-4);
          if (i % 500 == 0) metrics.Scrape();
        }
      });
    }
  }
  EXPECT_EQ(Value(metrics, "larder_lookup_tokens_total{space=\"t/m/g\"}"), 3 * kThreads * kCounts);
  EXPECT_EQ(Value(metrics, "larder_request_duration_seconds_count{method=\"Lookup\"}"),
            kThreads * kCounts);
}

}  // namespace
}  // namespace larder::server
