#include "server/base/log.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "spdlog/logger.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace larder::server {
namespace {

// Ours, not spdlog's default logger: that one writes to stdout.
spdlog::logger& Logger() {
  static spdlog::logger logger = [] {
    spdlog::logger stderr_logger("larderd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    stderr_logger.set_pattern("%v");
    return stderr_logger;
  }();
  return logger;
}

std::string_view LevelName(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "trace";
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
      return "error";
    default:
      return "info";
  }
}

void Log(spdlog::level::level_enum level, std::string_view msg, LogFields fields) {
  spdlog::logger& logger = Logger();
  if (!logger.should_log(level)) return;
  nlohmann::ordered_json line;
  // Wall time, because operators line this up with other hosts' logs; nothing is decided by it.
  line["ts"] = absl::FormatTime("%E4Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  line["level"] = LevelName(level);
  line["msg"] = msg;
  for (const LogField& field : fields) {
    std::visit([&](const auto& value) { line[std::string(field.key)] = value; }, field.value);
  }
  const std::string text = line.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false,
                                     nlohmann::json::error_handler_t::replace);
  logger.log(level, spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace

void InitLog(std::string_view level) {
  for (const auto candidate :
       {spdlog::level::trace, spdlog::level::debug, spdlog::level::warn, spdlog::level::err}) {
    if (LevelName(candidate) == level) return Logger().set_level(candidate);
  }
  Logger().set_level(spdlog::level::info);
}

void LogTrace(std::string_view msg, LogFields fields) { Log(spdlog::level::trace, msg, fields); }
void LogDebug(std::string_view msg, LogFields fields) { Log(spdlog::level::debug, msg, fields); }
void LogInfo(std::string_view msg, LogFields fields) { Log(spdlog::level::info, msg, fields); }
void LogWarn(std::string_view msg, LogFields fields) { Log(spdlog::level::warn, msg, fields); }
void LogError(std::string_view msg, LogFields fields) { Log(spdlog::level::err, msg, fields); }

std::optional<uint64_t> LogLimiter::Admit(TimePoint now) {
  MutexLock lock(mutex_);
  if (!second_start_.has_value() || now - *second_start_ >= std::chrono::seconds(1)) {
    second_start_ = now;
    admitted_ = 0;
  }
  if (admitted_ == per_second_) {
    ++suppressed_;
    return std::nullopt;
  }
  ++admitted_;
  return std::exchange(suppressed_, 0);
}

}  // namespace larder::server
