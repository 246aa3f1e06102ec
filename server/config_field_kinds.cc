#include "server/config_field_kinds.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace larder::server {
namespace {

struct Unit {
  std::string_view suffix;
  int shift;
};
// "B" last: it ends all the others too.
constexpr std::array<Unit, 5> kUnits = {
    {{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}};

// 10^18 < 2^60, times 2^40 stays below 2^128; no size that a person writes has more decimals.
constexpr size_t kSizeDecimalsMax = 18;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// Plain decimal digits: no sign, no blank, no overflow.
template <std::unsigned_integral T>
std::optional<T> ParseDigits(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool IsLoopback(std::string_view host) {
  if (host == "localhost") return true;
  if (host.starts_with('[') && host.ends_with(']')) {
    in6_addr v6{};
    const std::string literal(host.substr(1, host.size() - 2));
    return ::inet_pton(AF_INET6, literal.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
  }
  in_addr v4{};
  return ::inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1 &&
         ntohl(v4.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

}  // namespace

std::optional<ListenAddress> ParseListen(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = ParseDigits<uint16_t>(text.substr(colon + 1));
  if (!port.has_value()) return std::nullopt;
  return ListenAddress{text.substr(0, colon), *port};
}

ConfigField AddressField(std::string name, std::string help, std::string Config::*member) {
  return {.name = std::move(name),
          .placeholder = "ADDR:PORT",
          .help = std::move(help),
          .expected =
              "a loopback address and a port: 127.0.0.1:PORT, [::1]:PORT or localhost:PORT, "
              "PORT 0 to 65535",
          .advice = "there is no mTLS yet, so larderd serves this host only",
          .parse =
              [member](std::string_view text, Config& config) {
                config.*member = text;
                return true;
              },
          .format = [member](const Config& config) { return config.*member; },
          .in_range =
              [member](const Config& config) {
                const auto address = ParseListen(config.*member);
                return address.has_value() && IsLoopback(address->host);
              }};
}

ConfigField SizeField(std::string name, std::string help, uint64_t Config::*member, uint64_t min,
                      uint64_t max) {
  return {.name = std::move(name),
          .placeholder = "SIZE",
          .help = std::move(help),
          .expected = absl::StrCat("a size from ", FormatBytes(min), " to ", FormatBytes(max)),
          .advice = "give one in this range, like 512MiB, 1.5GiB or in plain bytes",
          .parse =
              [member](std::string_view text, Config& config) {
                const auto bytes = ParseBytes(text);
                if (bytes.has_value()) config.*member = *bytes;
                return bytes.has_value();
              },
          .format = [member](const Config& config) { return FormatBytes(config.*member); },
          .in_range =
              [=](const Config& config) { return config.*member >= min && config.*member <= max; }};
}

ConfigField CountField(std::string name, std::string help, uint32_t Config::*member, uint32_t min,
                       uint32_t max) {
  return {.name = std::move(name),
          .placeholder = "COUNT",
          .help = std::move(help),
          .expected = absl::StrCat("a whole number from ", min, " to ", max),
          .advice = "give one in this range, in plain digits",
          .parse =
              [member](std::string_view text, Config& config) {
                const auto count = ParseDigits<uint32_t>(text);
                if (count.has_value()) config.*member = *count;
                return count.has_value();
              },
          .format = [member](const Config& config) { return absl::StrCat(config.*member); },
          .in_range =
              [=](const Config& config) { return config.*member >= min && config.*member <= max; }};
}

ConfigField MillisecondsField(std::string name, std::string help,
                              std::chrono::milliseconds Config::*member,
                              std::chrono::milliseconds min, std::chrono::milliseconds max) {
  return {
      .name = std::move(name),
      .placeholder = "MS",
      .help = std::move(help),
      .expected = absl::StrCat("whole milliseconds from ", min.count(), " to ", max.count()),
      .advice = "give them in this range, in plain digits without a unit",
      .parse =
          [member](std::string_view text, Config& config) {
            const auto count = ParseDigits<uint32_t>(text);
            if (count.has_value()) config.*member = std::chrono::milliseconds(*count);
            return count.has_value();
          },
      .format = [member](const Config& config) { return absl::StrCat((config.*member).count()); },
      .in_range =
          [=](const Config& config) { return config.*member >= min && config.*member <= max; }};
}

ConfigField WordField(std::string name, std::string help, std::vector<std::string> words,
                      std::function<std::string(const Config&)> get,
                      std::function<void(size_t, Config&)> set) {
  const auto position_of = [words](std::string_view text) {
    return static_cast<size_t>(std::find(words.begin(), words.end(), text) - words.begin());
  };
  return {
      .name = std::move(name),
      .placeholder = absl::StrJoin(words, "|"),
      .help = std::move(help),
      .expected = absl::StrCat("one of ", absl::StrJoin(words, ", ")),
      .advice = "give one of these words",
      .parse =
          [=](std::string_view text, Config& config) {
            const size_t position = position_of(text);
            if (position < words.size()) set(position, config);
            return position < words.size();
          },
      .format = get,
      .in_range = [=](const Config& config) { return position_of(get(config)) < words.size(); }};
}

ConfigField SwitchField(std::string name, std::string help, bool Config::*member) {
  return WordField(
      std::move(name), std::move(help), {"false", "true"},
      [member](const Config& config) { return config.*member ? "true" : "false"; },
      [member](size_t position, Config& config) { config.*member = position == 1; });
}

ConfigField TextField(std::string name, std::string placeholder, std::string help,
                      std::string expected, std::string advice, std::string Config::*member,
                      bool (*holds)(std::string_view)) {
  return {.name = std::move(name),
          .placeholder = std::move(placeholder),
          .help = std::move(help),
          .expected = std::move(expected),
          .advice = std::move(advice),
          .parse =
              [member](std::string_view text, Config& config) {
                config.*member = text;
                return true;
              },
          .format = [member](const Config& config) { return config.*member; },
          .in_range = [=](const Config& config) { return holds(config.*member); }};
}

std::optional<uint64_t> ParseBytes(std::string_view text) {
  int shift = 0;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    shift = unit.shift;
    text.remove_suffix(unit.suffix.size());
    break;
  }
  std::string_view decimals;
  if (const size_t point = text.find('.'); point != std::string_view::npos) {
    decimals = text.substr(point + 1);
    text = text.substr(0, point);
    if (decimals.empty() || decimals.size() > kSizeDecimalsMax) return std::nullopt;
  }
  const auto whole = ParseDigits<uint64_t>(text);
  const auto fraction = decimals.empty() ? 0 : ParseDigits<uint64_t>(decimals);
  if (!whole.has_value() || !fraction.has_value()) return std::nullopt;

  using Wide = unsigned __int128;  // whole < 2^64 and shift <= 40, so nothing below overflows
  Wide scale = 1;
  for (size_t i = 0; i < decimals.size(); ++i) scale *= 10;
  const Wide fraction_scaled = Wide{*fraction} << shift;
  if (fraction_scaled % scale != 0) return std::nullopt;
  const Wide bytes = (Wide{*whole} << shift) + fraction_scaled / scale;
  if (bytes > UINT64_MAX) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

std::string FormatBytes(uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    const uint64_t unit_bytes = uint64_t{1} << unit.shift;
    if (unit.shift > 0 && bytes != 0 && bytes % unit_bytes == 0) {
      return absl::StrCat(bytes / unit_bytes, View(unit.suffix));
    }
  }
  return absl::StrCat(bytes);
}

}  // namespace larder::server
