#include "server/base/log.h"

#include <atomic>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace larder::server {
namespace {

using nlohmann::json;
using namespace std::string_literals;
using std::chrono::milliseconds;

// What `log` writes to stderr, line by line; nothing may reach stdout.
template <typename F>
std::vector<std::string> LinesOf(F log) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  log();
  std::istringstream text(testing::internal::GetCapturedStderr());
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(LogTest, WritesOneJsonObjectPerLineWithTypedFields) {
  InitLog("info");
  const std::string name = "acme";
  const auto lines = LinesOf([&] {
    LogWarn("put refused", {{"tenant", name},
                            {"literal", "x"},
                            {"yes", true},
                            {"small", int8_t{-3}},
                            {"large", UINT64_MAX},
                            {"ratio", 0.5}});
  });
  ASSERT_EQ(lines.size(), 1u);
  json line = json::parse(lines[0]);
  EXPECT_THAT(
      line["ts"].get<std::string>(),
      testing::MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z"));
  line.erase("ts");
  EXPECT_EQ(line, json({{"level", "warn"},
                        {"msg", "put refused"},
                        {"tenant", "acme"},
                        {"literal", "x"},
                        {"yes", true},
                        {"small", -3},
                        {"large", UINT64_MAX},
                        {"ratio", 0.5}}));
}

TEST(LogTest, KeepsHeadFirstForPeopleWhoReadRawLines) {
  InitLog("info");
  const auto lines = LinesOf([] { LogInfo("ready", {{"a", 1}}); });
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], testing::StartsWith("{\"ts\":\""));
  EXPECT_THAT(lines[0], testing::EndsWith("\"level\":\"info\",\"msg\":\"ready\",\"a\":1}"));
}

TEST(LogTest, StaysParsableWithHostileText) {
  InitLog("info");
  const std::string hostile = "\"},{\n\r\t\\ \x01 \xff\xfe {} %v \0 end"s;
  const auto lines = LinesOf([&] { LogInfo(hostile, {{hostile, hostile}}); });
  ASSERT_EQ(lines.size(), 1u) << "a line break escaped";
  const json line = json::parse(lines[0]);
  EXPECT_THAT(line["msg"].get<std::string>(), testing::StartsWith("\"},{\n\r\t\\ \x01 "));
  EXPECT_THAT(line["msg"].get<std::string>(), testing::HasSubstr("{} %v"));
  EXPECT_EQ(line.size(), 4u);
}

TEST(LogTest, DropsLinesBelowTheLevel) {
  struct Case {
    std::string level;
    std::vector<std::string> written;
  };
  for (const Case& c : std::vector<Case>{{"trace", {"trace", "debug", "info", "warn", "error"}},
                                         {"debug", {"debug", "info", "warn", "error"}},
                                         {"info", {"info", "warn", "error"}},
                                         {"warn", {"warn", "error"}},
                                         {"error", {"error"}},
                                         {"nonsense", {"info", "warn", "error"}}}) {
    InitLog(c.level);
    std::vector<std::string> levels;
    for (const std::string& line : LinesOf([] {
           LogTrace("m");
           LogDebug("m");
           LogInfo("m");
           LogWarn("m");
           LogError("m");
         })) {
      levels.push_back(json::parse(line)["level"]);
    }
    EXPECT_EQ(levels, c.written) << c.level;
  }
}

TEST(LogTest, KeepsLinesWholeAcrossThreads) {
  InitLog("info");
  constexpr int kThreads = 4;
  constexpr int kLines = 200;
  const auto lines = LinesOf([] {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < kLines; ++i) LogInfo("line", {{"thread", t}, {"i", i}});
      });
    }
  });
  ASSERT_EQ(lines.size(), size_t{kThreads * kLines});
  for (const std::string& line : lines) EXPECT_TRUE(json::accept(line)) << line;
}

TEST(LogLimiterTest, AdmitsSoManyPerSecondAndReportsTheRest) {
  LogLimiter limiter(2);
  const TimePoint start{};
  EXPECT_EQ(limiter.Admit(start), 0u);
  EXPECT_EQ(limiter.Admit(start + milliseconds(10)), 0u);
  EXPECT_EQ(limiter.Admit(start + milliseconds(20)), std::nullopt);
  EXPECT_EQ(limiter.Admit(start + milliseconds(999)), std::nullopt);
  EXPECT_EQ(limiter.Admit(start + milliseconds(1000)), 2u);
  EXPECT_EQ(limiter.Admit(start + milliseconds(1001)), 0u);
  EXPECT_EQ(limiter.Admit(start + milliseconds(1002)), std::nullopt);
  EXPECT_EQ(limiter.Admit(start + milliseconds(60'000)), 1u);
}

TEST(LogLimiterTest, LosesNoCountAcrossThreads) {
  LogLimiter limiter(3);
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kCalls = 10'000;
  std::atomic<uint64_t> accounted = 0;
  {
    std::vector<std::jthread> threads;
    for (uint64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (uint64_t i = 0; i < kCalls; ++i) {
          if (const auto suppressed = limiter.Admit(TimePoint{})) accounted += 1 + *suppressed;
        }
      });
    }
  }
  EXPECT_EQ(accounted, 3u);
  EXPECT_EQ(limiter.Admit(TimePoint{} + milliseconds(1000)), kThreads * kCalls - 3);
}

}  // namespace
}  // namespace larder::server
