// Structured logs: one JSON object per line on stderr, never on stdout (that carries the ready
// line).
//   {"ts":"2025-01-31T12:00:00.123456Z","level":"warn","msg":"put
//   refused","code":"RESOURCE_EXHAUSTED","suppressed":17}
// Messages are fixed phrases; what varies is a field. Never a token, a prefix hash, a key or
// payload: those are the users' prompts. Escaping is the JSON library's; bytes that are no UTF-8
// are replaced, so a line always parses. A repeated field keeps its last value.
//
// Thread-safe: a line is written whole. A call below the level costs one atomic load. There is one
// stderr, hence one logger per process.
//
//   InitLog(config.log_level);
//   LogInfo("space registered", {{"tenant", tenant}, {"spaces", spaces}});
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <type_traits>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace larder::server {

// A key and a value: text, bool, integer or floating-point number. Views text, which must live
// until the log call returns.
struct LogField {
  using Value = std::variant<std::string_view, bool, int64_t, uint64_t, double>;

  template <typename T>
  LogField(std::string_view key, const T& value) : key(key), value(ValueOf(value)) {}

  std::string_view key;
  Value value;

 private:
  template <typename T>
  static Value ValueOf(const T& value) {
    if constexpr (std::same_as<T, bool> || std::floating_point<T>) {
      return value;
    } else if constexpr (std::signed_integral<T>) {
      return int64_t{value};
    } else if constexpr (std::unsigned_integral<T>) {
      return uint64_t{value};
    } else {
      return std::string_view(value);
    }
  }
};

using LogFields = std::initializer_list<LogField>;

// Sets the smallest level that is written: trace, debug, info, warn, error. Info until then, and
// for any other name.
void InitLog(std::string_view level);

void LogTrace(std::string_view msg, LogFields fields = {});
void LogDebug(std::string_view msg, LogFields fields = {});
void LogInfo(std::string_view msg, LogFields fields = {});
void LogWarn(std::string_view msg, LogFields fields = {});
void LogError(std::string_view msg, LogFields fields = {});

// Keeps one call site from flooding the log: admits the first `per_second` lines of each second,
// counts the others and hands the count to the next line that is admitted. Anything a client can
// trigger at will goes through one of these.
//
// Thread-safe. One per call site, usually a member of the object that logs.
//
//   if (const auto suppressed = refusals_.Admit(clock_->Now())) {
//     LogWarn("put refused", {{"code", code}, {"suppressed", *suppressed}});
//   }
class LogLimiter {
 public:
  explicit LogLimiter(uint32_t per_second) : per_second_(per_second) {}

  // Lines suppressed since the last admitted one; nullopt means: do not log.
  std::optional<uint64_t> Admit(TimePoint now);

 private:
  const uint32_t per_second_;
  Mutex mutex_;
  std::optional<TimePoint> second_start_
      ABSL_GUARDED_BY(mutex_);                     // of the current second; begins with a line
  uint32_t admitted_ ABSL_GUARDED_BY(mutex_) = 0;  // within the current second
  uint64_t suppressed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
