// The server's configuration: one YAML file, flags that mirror its fields one to one and win over
// it, nothing else (no environment). Defaults carry their reason here, limits theirs in
// config_fields.h; deploy/larderd.yaml shows them all.
//
// Every fault is reported at once, file and flags together, one per line: where it is, what was
// found, what is expected, what to do. Errors are INVALID_ARGUMENT. Thread-compatible.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "proto/contract/limits.h"

namespace larder::server {

enum class PolicyKind : uint8_t { kLru, kS3Fifo };

struct Config {
  // Loopback only until the server speaks mTLS. Port 0 picks a free one.
  std::string listen = "127.0.0.1:7440";
  std::string metrics_listen = "127.0.0.1:7441";
  // Hard budget of the DRAM tier. 1 GiB runs anywhere; a serving host gives most of its free
  // memory.
  uint64_t dram_bytes = uint64_t{1} << 30;
  // Ask for transparent huge pages. Off by default: first touch is several times slower, steady
  // state a little faster.
  bool dram_huge_pages = false;
  PolicyKind policy = PolicyKind::kLru;
  // Concurrent Put and Get streams; beyond it calls are refused with RESOURCE_EXHAUSTED. A stream
  // holds at most one chunk of memory.
  uint32_t streams_max = 256;
  // Bytes reserved by puts that are not yet whole; bounds what slow or dead writers can hold back
  // from the cache. At most half of dram_bytes is ever used.
  uint64_t ingest_bytes_max = uint64_t{256} << 20;
  // A put stream that brings nothing for this long is ended: a stopped client must not hold its
  // reservation.
  std::chrono::milliseconds stream_idle_timeout{10'000};
  // Live leases over all clients; one entry is about 100 bytes and 4 per pinned block.
  uint32_t leases_max = 65'536;
  // What the contract announces; lower it when one client must not starve the others.
  uint32_t leases_per_client_max = kLeasesPerClientMax;
  // After SIGTERM: time for calls in flight to end before they are cancelled. Well under the 30 s
  // that Kubernetes waits.
  std::chrono::milliseconds drain_timeout{10'000};
  // Smallest of: trace, debug, info, warn, error.
  std::string log_level = "info";

  absl::Status Validate() const;
  // The effective configuration, in the file's own syntax: ConfigFromYaml(ToYaml(), {}) gives it
  // back.
  std::string ToYaml() const;

  bool operator==(const Config&) const = default;
};

// Parses `larderd` command lines: --config first, then the other flags over it; validates. Sizes
// take B, KiB, MiB, GiB, TiB. An empty optional means that --help or --version was asked for and
// answered on stdout.
absl::StatusOr<std::optional<Config>> ConfigFromCommandLine(int argc, const char* const* argv);

// Parses YAML text over `base` and validates. Unknown fields are faults.
absl::StatusOr<Config> ConfigFromYaml(const std::string& yaml, const Config& base);

}  // namespace larder::server
