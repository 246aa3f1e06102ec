#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/config.h"

namespace larder::server {
namespace {

using testing::HasSubstr;

TEST(ConfigTenantsTest, AreAMapInTheFile) {
  const auto config = ConfigFromYaml(
      "tenants:\n  chat: {quota_bytes: 4MiB, reserve_bytes: 1MiB}\n  batch:\n    quota_bytes: "
      "1572864\n",
      Config());
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<TenantBudget> expected = {{"chat", uint64_t{4} << 20, uint64_t{1} << 20},
                                              {"batch", uint64_t{3} << 19, 0}};
  EXPECT_EQ(config->tenants, expected);
  EXPECT_THAT(config->ToYaml(), HasSubstr("chat: {quota_bytes: 4MiB, reserve_bytes: 1MiB}"));
}

TEST(ConfigTenantsTest, AreAlsoTextInTheFileAsOnTheCommandLine) {
  const auto config = ConfigFromYaml("tenants: chat=quota_bytes:4MiB", Config());
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<TenantBudget> expected = {{"chat", uint64_t{4} << 20, 0}};
  EXPECT_EQ(config->tenants, expected);
  EXPECT_EQ(ConfigFromYaml("tenants: {}", *config)->tenants, std::vector<TenantBudget>());
}

TEST(ConfigTenantsTest, HaveLimitsOnSsdToo) {
  const auto config = ConfigFromYaml(
      "ssd_path: /tmp/ssd\nssd_bytes: 1GiB\ntenants:\n  chat: {reserve_bytes: 1MiB, "
      "ssd_quota_bytes: 768MiB, ssd_reserve_bytes: 2MiB}\n  batch: {ssd_reserve_bytes: 766MiB}\n",
      Config());
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->tenants.size(), 2u);
  EXPECT_EQ(config->tenants[0].ssd_quota_bytes, uint64_t{768} << 20);
  EXPECT_EQ(config->tenants[0].ssd_reserve_bytes, uint64_t{2} << 20);
  EXPECT_EQ(config->tenants[1].quota_bytes, std::nullopt);
  EXPECT_THAT(config->ToYaml(), HasSubstr("batch: {ssd_reserve_bytes: 766MiB}"));
  EXPECT_EQ(ConfigFromYaml(config->ToYaml(), Config()).value(), *config);
}

TEST(ConfigTenantsTest, RefusesLimitsOnSsdThatItCanNotKeep) {
  struct Case {
    const char* tenants;
    const char* expected;
  };
  const std::string ssd = "ssd_path: /tmp/ssd\nssd_bytes: 1GiB\ntenants: ";
  for (const Case& c : std::vector<Case>{
           {"chat=ssd_quota_bytes:1023KiB", "those of SSD to"},
           {"chat=ssd_quota_bytes:1MiB+ssd_reserve_bytes:2MiB", "a reserve within the quota"},
           {"a=ssd_reserve_bytes:400MiB,b=ssd_reserve_bytes:369MiB", "at most 768MiB"}}) {
    const auto config = ConfigFromYaml(ssd + c.tenants, Config());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << c.tenants;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(c.expected)) << c.tenants;
  }
  for (const char* limit : {"ssd_quota_bytes", "ssd_reserve_bytes"}) {
    const auto config =
        ConfigFromYaml("tenants: chat=" + std::string(limit) + ":2MiB", Config());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << limit;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("without an SSD tier")) << limit;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("set ssd_path")) << limit;
  }
}

TEST(ConfigTenantsTest, RefusesWhatIsMalformed) {
  for (const char* text :
       {"chat", "=quota_bytes:1MiB", "chat=", "chat=quota_bytes",
        "chat=quota_bytes:", "chat=quota:1MiB", "chat=quota_bytes:1MiB+",
        "chat=ssd_quota_bytes:1MiB+ssd_quota_bytes:2MiB",
        "chat=quota_bytes:1MiB+quota_bytes:2MiB", "chat=quota_bytes:1MiB,chat=reserve_bytes:1MiB",
        "chat=quota_bytes:1MiB,", "chat=quota_bytes:lots"}) {
    EXPECT_FALSE(ParseTenants(text).has_value()) << text;
  }
  for (const char* yaml :
       {"tenants: [chat]", "tenants: {chat: 1MiB}", "tenants: {chat: {quota_bytes: [1]}}",
        "tenants: {chat: {}}", "tenants: {'a,b': {quota_bytes: 1MiB}}", "tenants:",
        "tenants: {a b: {quota_bytes: 1MiB}}", "tenants: {chat: {quota_bytes: 1MiB+1}}"}) {
    const auto config = ConfigFromYaml(yaml, Config());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << yaml;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("tenants: found")) << yaml;
  }
}

TEST(ConfigTenantsTest, RefusesWhatIsOutOfRange) {
  struct Case {
    const char* tenants;
    const char* expected;
  };
  for (const Case& c : std::vector<Case>{
           {"chat=quota_bytes:1023KiB", "1MiB to 511GiB"},
           {"chat=reserve_bytes:512GiB", "1MiB to 511GiB"},
           {"chat=quota_bytes:1MiB+reserve_bytes:2MiB", "a reserve within the quota"},
           {"a=reserve_bytes:600MiB,b=reserve_bytes:600MiB", "at most dram_bytes (1GiB)"}}) {
    const auto config = ConfigFromYaml("tenants: " + std::string(c.tenants), Config());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << c.tenants;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(c.expected)) << c.tenants;
  }
  std::string many;
  for (int i = 0; i < 255; ++i) many += "t" + std::to_string(i) + "=quota_bytes:1MiB,";
  EXPECT_TRUE(ConfigFromYaml("tenants: " + many.substr(0, many.size() - 1), Config()).ok());
  EXPECT_FALSE(ConfigFromYaml("tenants: " + many + "one-more=quota_bytes:1MiB", Config()).ok());
}

}  // namespace
}  // namespace larder::server
