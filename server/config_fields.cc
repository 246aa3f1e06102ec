#include "server/config_fields.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "kernels/codec/registry.h"
#include "proto/contract/errors.h"

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

struct ListenAddress {
  std::string_view host;
  uint16_t port;
};

// "127.0.0.1:80", "[::1]:80", "localhost:80".
std::optional<ListenAddress> ParseListen(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = ParseDigits<uint16_t>(text.substr(colon + 1));
  if (!port.has_value()) return std::nullopt;
  return ListenAddress{text.substr(0, colon), *port};
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

// One of a few words; `set` gets the word's position.
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

ConfigField PolicyField() {
  const std::vector<std::string> words = {"lru", "s3fifo", "lfuda"};  // in the order of PolicyKind
  return WordField(
      "policy", "Order of eviction within a priority", words,
      [words](const Config& config) { return words[static_cast<size_t>(config.policy)]; },
      [](size_t position, Config& config) { config.policy = static_cast<PolicyKind>(position); });
}

ConfigField LogLevelField() {
  const std::vector<std::string> words = {"trace", "debug", "info", "warn", "error"};
  return WordField(
      "log_level", "Smallest level of the log on stderr", words,
      [](const Config& config) { return config.log_level; },
      [words](size_t position, Config& config) { config.log_level = words[position]; });
}

bool IsPlan(std::string_view name) {
  std::string why;
  return ParsePlan(name, &why).has_value();
}

// Text that `holds` says is good or not.
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

std::vector<ConfigField> CodecFields() {
  // In the order of Fidelity, from kCompact.
  static const std::vector<std::string> kFidelityWords = {"compact", "balanced", "near", "exact"};
  return {
      TextField("codec", "PLAN", "How blocks are stored", "a codec plan, like raw, fp8 or q8q4",
                "see 'larder codec list'", &Config::codec, IsPlan),
      TextField("codec_by_model", "MODEL=PLAN,...", "Plans of single models",
                "pairs of a model's name and a codec plan, each model once",
                "write them as MODEL=PLAN,MODEL=PLAN; see 'larder codec list' for the plans",
                &Config::codec_by_model,
                [](std::string_view text) { return ParseModelPlans(text).has_value(); }),
      WordField(
          "codec_fidelity_min", "Lowest fidelity that a put may ask for", kFidelityWords,
          [](const Config& config) {
            return kFidelityWords[static_cast<size_t>(config.codec_fidelity_min) -
                                  static_cast<size_t>(Fidelity::kCompact)];
          },
          [](size_t position, Config& config) {
            config.codec_fidelity_min =
                static_cast<Fidelity>(position + static_cast<size_t>(Fidelity::kCompact));
          }),
      CountField("codec_sinks", "First tokens of a sequence that stay raw", &Config::codec_sinks, 0,
                 kCodecSinksMaxOfConfig),
      CountField("codec_edge_layers", "First and last layers that stay near-exact",
                 &Config::codec_edge_layers, 0, kCodecEdgeLayersMax),
  };
}

}  // namespace

std::optional<std::vector<std::pair<std::string, std::string>>> ParseModelPlans(
    std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (text.empty()) return pairs;
  for (const auto part : absl::StrSplit(View(text), ',')) {
    const size_t equals = part.find('=');
    if (equals == part.npos || equals == 0) return std::nullopt;
    std::string model(part.substr(0, equals)), plan(part.substr(equals + 1));
    const bool again = std::any_of(pairs.begin(), pairs.end(),
                                   [&](const auto& pair) { return pair.first == model; });
    if (again || !IsPlan(plan)) return std::nullopt;
    pairs.emplace_back(std::move(model), std::move(plan));
  }
  return pairs;
}

std::string Fault(std::string_view where, std::string_view found, std::string_view expected,
                  std::string_view advice) {
  constexpr size_t kFoundCharsMax = 80;  // enough to recognise it
  const std::string_view ellipsis = found.size() > kFoundCharsMax ? "..." : "";
  return absl::StrCat(View(where), ": found '", View(found.substr(0, kFoundCharsMax)),
                      View(ellipsis), "', expected ", View(expected), "; ", View(advice));
}

std::string ConfigField::flag() const {
  return absl::StrCat("--", absl::StrReplaceAll(name, {{"_", "-"}}));
}

std::vector<ConfigField> ConfigFields() {
  std::vector<ConfigField> fields = {
      AddressField("listen", "Where clients connect (gRPC)", &Config::listen),
      AddressField("metrics_listen", "Where /metrics, /healthz and /readyz are served (HTTP)",
                   &Config::metrics_listen),
      SizeField("dram_bytes", "Hard budget of the DRAM tier", &Config::dram_bytes, kDramBytesMin,
                kDramBytesMax),
      SwitchField("dram_huge_pages", "Ask for transparent huge pages", &Config::dram_huge_pages),
      PolicyField(),
      CountField("streams_max", "Concurrent Put and Get streams", &Config::streams_max,
                 kStreamsMaxMin, kStreamsMaxMax),
      SizeField("ingest_bytes_max", "Bytes reserved by puts that are not yet whole",
                &Config::ingest_bytes_max, kIngestBytesMaxMin, kIngestBytesMaxMax),
      MillisecondsField("stream_idle_timeout_ms",
                        "A put stream that brings nothing for this long ends",
                        &Config::stream_idle_timeout, kPutIdleTimeoutMin, kPutIdleTimeoutMax),
      CountField("leases_max", "Live leases over all clients", &Config::leases_max, kLeasesMaxMin,
                 kLeasesMaxMax),
      CountField("leases_per_client_max", "Live leases of one client",
                 &Config::leases_per_client_max, kLeasesPerClientMaxMin, kLeasesPerClientMax),
      MillisecondsField("drain_timeout_ms", "After SIGTERM, time for calls in flight to end",
                        &Config::drain_timeout, kDrainTimeoutMin, kDrainTimeoutMax),
  };
  for (ConfigField& field : CodecFields()) fields.push_back(std::move(field));
  fields.push_back(LogLevelField());
  return fields;
}

void ParseField(const ConfigField& field, std::string_view where, std::string_view text,
                Config& config, Faults& faults) {
  if (!field.parse(text, config)) {
    faults.push_back(Fault(where, text, field.expected, field.advice));
  }
}

void CheckRanges(const Config& config, Faults& faults) {
  for (const ConfigField& field : ConfigFields()) {
    if (!field.in_range(config)) {
      faults.push_back(Fault(field.name, field.format(config), field.expected, field.advice));
    }
  }
  const auto port = ParseListen(config.listen);
  if (config.listen == config.metrics_listen && port.has_value() && port->port != 0) {
    faults.push_back(Fault("metrics_listen", config.metrics_listen, "another port than listen",
                           "the two speak different protocols"));
  }
  if (config.leases_per_client_max > config.leases_max) {
    faults.push_back(Fault("leases_per_client_max", absl::StrCat(config.leases_per_client_max),
                           absl::StrCat("at most leases_max (", config.leases_max, ")"),
                           "lower it or raise leases_max"));
  }
}

absl::Status StatusOf(const Faults& faults) {
  if (faults.empty()) return absl::OkStatus();
  return InvalidConfiguration(faults);
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
