// Results for programs: one JSON object, to a file or to stdout.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "client/cli/latency_histogram.h"

namespace larder::cli {

// `path` "-" is stdout. INVALID_ARGUMENT when the file can not be written.
absl::Status WriteJson(const nlohmann::ordered_json& json, const std::string& path);

// {"p50": seconds, "p95": ..., "p99": ...}; null where nothing was measured.
nlohmann::ordered_json QuantilesJson(const LatencyHistogram& histogram);

}  // namespace larder::cli
