// The fields of Config as text, once: names in the file, flags, --help, ranges, parsing and
// printing all come from this table, so a field can not exist in one form only. Private to the
// configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/contract/limits.h"
#include "server/config.h"

namespace larder::server {

inline constexpr uint64_t kDramBytesMin = uint64_t{16} << 20;  // less is a forgotten unit
inline constexpr uint64_t kDramBytesMax =
    uint64_t{511} << 30;  // 30-bit granules of 512 B; beyond: a server per NUMA node
inline constexpr uint64_t kHbmBytesMin = uint64_t{16} << 20;  // or 0; less is a forgotten unit
inline constexpr uint64_t kHbmBytesMax = kDramBytesMax;       // the same granules
inline constexpr uint64_t kSsdBytesMin = uint64_t{16} << 20;  // less is a forgotten unit
inline constexpr uint64_t kSsdBytesMax = uint64_t{1} << 50;   // any number of devices of one host
inline constexpr uint64_t kSsdStagingBytesMin = uint64_t{1} << 20;  // grows to the largest record
inline constexpr uint32_t kStreamsMaxMin = 1;       // none would serve nobody
inline constexpr uint32_t kStreamsMaxMax = 16'384;  // one 1 MiB chunk each: 16 GiB beside the tier
inline constexpr uint64_t kIngestBytesMaxMin = kWireChunkBytes;  // less admits no put at all
inline constexpr uint64_t kIngestBytesMaxMax = kDramBytesMax;    // it is reserved in the DRAM tier
// A stall of the network or the scheduler lasts longer than anything shorter; a reservation must
// not outlive the lease of the client that made it.
inline constexpr std::chrono::milliseconds kPutIdleTimeoutMin{100};
inline constexpr std::chrono::milliseconds kPutIdleTimeoutMax{kLeaseTtlSecondsMax * 1000};
inline constexpr uint32_t kLeasesMaxMin = 1;
inline constexpr uint32_t kLeasesMaxMax = 1u << 24;  // about 100 bytes each: 1.6 GiB
inline constexpr uint32_t kLeasesPerClientMaxMin = 1;
inline constexpr std::chrono::milliseconds kDrainTimeoutMin{0};  // cancel at once
// No lease outlives this, so nobody is left to wait for.
inline constexpr std::chrono::milliseconds kDrainTimeoutMax{kLeaseTtlSecondsMax * 1000};

inline constexpr uint32_t kWindowsMaxMin = 1;
inline constexpr uint32_t kWindowsMaxMax = 16'384;  // two descriptors and a mapping each
inline constexpr uint64_t kWindowBytesMin = uint64_t{1}
                                            << 20;  // less holds no block worth a window
inline constexpr uint64_t kWindowBytesMax = uint64_t{1} << 40;  // of 2^47 bytes of address space
inline constexpr uint32_t kTransportThreadsMin = 1;
inline constexpr uint32_t kTransportThreadsMax = 64;  // far beyond any host's memory bandwidth

inline constexpr uint64_t kTenantBytesMin = uint64_t{1} << 20;  // less is a forgotten unit
// An eviction looks at one record of each (server/policy/tenant_order.h).
inline constexpr size_t kTenantsMax = 255;
inline constexpr uint32_t kCodecEdgeLayersMax = 16;  // more is another plan, not an edge
inline constexpr size_t kCodecLayerRowsMax = 256;    // more layers of one plan are a range

// A file beyond this is not a configuration; it is read into memory whole.
inline constexpr size_t kConfigFileBytesMax = 1u << 20;

using Faults = std::vector<std::string>;

// "dram_bytes: found 'lots', expected 16MiB to 511GiB; give ..."
std::string Fault(std::string_view where, std::string_view found, std::string_view expected,
                  std::string_view advice);

struct ConfigField {
  std::string name;         // in the file: "dram_bytes"; the flag is "--dram-bytes"
  std::string placeholder;  // of the flag's value in --help: "SIZE"
  std::string help;
  std::string expected;  // type and range, as faults name them
  std::string advice;    // what to do about a fault
  // Sets the field; false, with the field untouched, when the text is not of its type.
  std::function<bool(std::string_view text, Config& config)> parse;
  std::function<std::string(const Config& config)> format;
  std::function<bool(const Config& config)> in_range;
  // In the file a map of maps, NAME: {key: value}; as text "NAME=key:value+key:value,...".
  bool nested = false;

  std::string flag() const;
};

// The field of Config::tenants (config_tenants.cc), and what it has to do with others.
ConfigField TenantsField();
void CheckTenants(const Config& config, Faults& faults);

// In the order of Config.
std::vector<ConfigField> ConfigFields();

// Sets `field` from what was found at `where`, or adds a fault.
void ParseField(const ConfigField& field, std::string_view where, std::string_view text,
                Config& config, Faults& faults);

// Overlays YAML text; faults name `source` and the line.
void OverlayYaml(const std::string& yaml, std::string_view source, Config& config, Faults& faults);

// Adds what is out of range, within a field and between fields.
void CheckRanges(const Config& config, Faults& faults);

// OK without faults, else one INVALID_ARGUMENT that lists them.
absl::Status StatusOf(const Faults& faults);

// "512MiB", "1.5GiB", "4096": exact; nullopt when malformed, not a whole number of bytes or >=
// 2^64.
std::optional<uint64_t> ParseBytes(std::string_view text);
// With the largest unit that divides it: "1536MiB".
std::string FormatBytes(uint64_t bytes);

}  // namespace larder::server
