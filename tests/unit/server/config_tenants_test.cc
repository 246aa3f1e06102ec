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

TEST(ConfigTenantsTest, RefusesWhatIsMalformed) {
  for (const char* text :
       {"chat", "=quota_bytes:1MiB", "chat=", "chat=quota_bytes",
        "chat=quota_bytes:", "chat=quota:1MiB", "chat=quota_bytes:1MiB+",
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
