#include "server/config_fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "proto/contract/errors.h"
#include "server/config_field_kinds.h"

namespace larder::server {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

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

// Empty, or a numeric loopback address of IPv4: UCX resolves no names.
bool IsUcxListen(std::string_view text) {
  return text.empty() || (text.starts_with("127.") && ParseListen(text).has_value());
}

bool IsUcxTransports(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_,") == std::string_view::npos;
}

std::vector<ConfigField> WindowFields() {
  return {
      SwitchField("shm", "Offer windows of shared memory to clients of this host", &Config::shm),
      TextField("ucx_listen", "ADDRESS", "Offer the plane ucx at this address",
                "empty, or a loopback address and a port: 127.0.0.1:PORT",
                "port 0 picks a free one; empty turns the plane off", &Config::ucx_listen,
                IsUcxListen),
      TextField("ucx_transports", "NAMES", "UCX transports of the plane ucx",
                "names as in UCX_TLS, with commas between them",
                "'ucx_info -d' lists them; tcp works everywhere", &Config::ucx_transports,
                IsUcxTransports),
      CountField("windows_max", "Windows over all clients", &Config::windows_max, kWindowsMaxMin,
                 kWindowsMaxMax),
      CountField("windows_per_client_max", "Windows of one client", &Config::windows_per_client_max,
                 kWindowsMaxMin, kWindowsMaxMax),
      SizeField("window_bytes_max", "Memory of one window", &Config::window_bytes_max,
                kWindowBytesMin, kWindowBytesMax),
      SizeField("windows_bytes_max", "Memory of all windows", &Config::windows_bytes_max,
                kWindowBytesMin, kWindowBytesMax),
      CountField("transport_threads", "Threads that copy between slabs and windows",
                 &Config::transport_threads, kTransportThreadsMin, kTransportThreadsMax),
  };
}

// Directories by comma, each once.
bool ArePaths(std::string_view text) {
  if (text.empty()) return true;
  std::vector<std::string> paths = absl::StrSplit(absl::string_view(text.data(), text.size()), ',');
  std::sort(paths.begin(), paths.end());
  return !paths.front().empty() && std::adjacent_find(paths.begin(), paths.end()) == paths.end();
}

std::vector<ConfigField> SsdFields() {
  return {
      TextField("ssd_path", "DIR[,DIR]", "Directories of the SSD tier; none: no tier",
                "directories by comma, each once", "leave it empty for no SSD tier",
                &Config::ssd_path, ArePaths),
      SizeField("ssd_bytes", "Hard budget of the SSD tier", &Config::ssd_bytes, kSsdBytesMin,
                kSsdBytesMax),
      WordField(
          "ssd_admission", "Which blocks are written to SSD", {"all", "second_use"},
          [](const Config& config) { return config.ssd_second_use ? "second_use" : "all"; },
          [](size_t position, Config& config) { config.ssd_second_use = position == 1; }),
      SizeField("ssd_write_bytes_per_day", "Endurance budget of the SSD tier; 0: no limit",
                &Config::ssd_write_bytes_per_day, 0, kSsdBytesMax),
      SizeField("ssd_scrub_bytes_per_second", "Rate of background verification; 0: off",
                &Config::ssd_scrub_bytes_per_second, 0, uint64_t{16} << 30),
      SizeField("ssd_staging_bytes", "Memory of reads from SSD", &Config::ssd_staging_bytes,
                kSsdStagingBytesMin, kDramBytesMax),
  };
}

ConfigField HbmBytesField() {
  ConfigField field = SizeField("hbm_bytes", "Hard budget of the HBM tier; 0: no tier",
                                &Config::hbm_bytes, kHbmBytesMin, kHbmBytesMax);
  field.expected = absl::StrCat("0, or ", field.expected);
  field.in_range = [in_range = field.in_range](const Config& config) {
    return config.hbm_bytes == 0 || in_range(config);
  };
  return field;
}

}  // namespace

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
      HbmBytesField(),
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
  for (ConfigField& field : WindowFields()) fields.push_back(std::move(field));
  for (ConfigField& field : SsdFields()) fields.push_back(std::move(field));
  for (ConfigField& field : CodecFields()) fields.push_back(std::move(field));
  fields.push_back(TenantsField());
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
  if (config.windows_per_client_max > config.windows_max) {
    faults.push_back(Fault("windows_per_client_max", absl::StrCat(config.windows_per_client_max),
                           absl::StrCat("at most windows_max (", config.windows_max, ")"),
                           "lower it or raise windows_max"));
  }
  if (config.window_bytes_max > config.windows_bytes_max) {
    faults.push_back(Fault(
        "window_bytes_max", FormatBytes(config.window_bytes_max),
        absl::StrCat("at most windows_bytes_max (", FormatBytes(config.windows_bytes_max), ")"),
        "lower it or raise windows_bytes_max"));
  }
  CheckTenants(config, faults);
}

absl::Status StatusOf(const Faults& faults) {
  if (faults.empty()) return absl::OkStatus();
  return InvalidConfiguration(faults);
}

}  // namespace larder::server
