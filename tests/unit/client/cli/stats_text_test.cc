#include "client/cli/stats_text.h"

#include <gmock/gmock.h>

namespace larder::cli {
namespace {

using ::testing::HasSubstr;

v1::StatsResponse Sample() {
  v1::StatsResponse stats;
  stats.set_server_version("0.1.0");
  stats.set_uptime_seconds(65);
  stats.set_stored_blocks(1'000);
  v1::TierStats* tier = stats.add_tiers();
  tier->set_tier(v1::TIER_DRAM);
  tier->set_budget_bytes(4096);
  tier->set_used_bytes(1024);
  v1::SpaceStats* space = stats.add_spaces();
  space->set_id(0xAB);
  space->set_model("m");
  space->set_lookup_tokens(200);
  space->set_hit_tokens(50);
  return stats;
}

TEST(StatsTextTest, ShowsFillsAndTokenHitRates) {
  const std::string text = StatsText(Sample());
  EXPECT_THAT(text, HasSubstr("larderd 0.1.0, up 65.0 s"));
  EXPECT_THAT(text, HasSubstr("dram"));
  EXPECT_THAT(text, HasSubstr("25.00 %"));
  EXPECT_THAT(text, HasSubstr("0x00000000000000ab"));
  EXPECT_THAT(text, HasSubstr("1,000"));
}

TEST(StatsTextTest, ShowsTenantsThatHaveLimits) {
  v1::StatsResponse stats = Sample();
  EXPECT_THAT(StatsText(stats), ::testing::Not(HasSubstr("quota")));
  v1::TenantStats* tenant = stats.add_tenants();
  tenant->set_tenant("chat");
  tenant->set_quota_bytes(3 << 20);
  tenant->set_no_room_blocks(12'345);
  tenant->set_ssd_used_bytes(5 << 20);
  tenant->set_ssd_quota_bytes(7 << 20);
  tenant->set_ssd_reserve_bytes(6 << 20);
  const std::string text = StatsText(stats);
  EXPECT_THAT(text, HasSubstr("chat"));
  EXPECT_THAT(text, HasSubstr("3.0 MiB"));
  EXPECT_THAT(text, HasSubstr("12,345"));
  EXPECT_THAT(text, HasSubstr("5.0 MiB"));
  EXPECT_THAT(text, HasSubstr("6.0 MiB"));
  EXPECT_THAT(text, HasSubstr("7.0 MiB"));
}

TEST(StatsTextTest, RatesAreDifferencesPerSecond) {
  const v1::StatsResponse before = Sample();
  v1::StatsResponse now = before;
  now.set_stored_blocks(1'020);
  now.mutable_spaces(0)->set_lookup_tokens(1'200);
  now.mutable_spaces(0)->set_hit_tokens(300);
  const std::string text = RatesText(before, now, 2);
  EXPECT_THAT(text, HasSubstr("500 lookup tokens/s, token hit rate 25.00 %"));
  EXPECT_THAT(text, HasSubstr("10.0 stored"));
}

TEST(StatsTextTest, ARestartShowsZeroRates) {
  v1::StatsResponse now = Sample();
  now.set_stored_blocks(3);
  EXPECT_THAT(RatesText(Sample(), now, 1), HasSubstr("0.0 stored"));
}

}  // namespace
}  // namespace larder::cli
