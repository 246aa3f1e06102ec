#include "client/cli/json_file.h"

#include <fstream>
#include <iostream>
#include <optional>

#include "proto/contract/errors.h"

namespace larder::cli {

absl::Status WriteJson(const nlohmann::ordered_json& json, const std::string& path) {
  if (path == "-") {
    std::cout << json.dump(2) << std::endl;
    return absl::OkStatus();
  }
  std::ofstream file(path);
  file << json.dump(2) << "\n";
  file.close();
  if (!file) return InvalidField("--json", path, "a file that can be written, or - for stdout");
  return absl::OkStatus();
}

nlohmann::ordered_json QuantilesJson(const LatencyHistogram& histogram) {
  const auto at = [&](double quantile) -> nlohmann::ordered_json {
    const std::optional<double> seconds = histogram.Quantile(quantile);
    return seconds ? nlohmann::ordered_json(*seconds) : nlohmann::ordered_json(nullptr);
  };
  return {{"p50", at(0.50)}, {"p95", at(0.95)}, {"p99", at(0.99)}};
}

}  // namespace larder::cli
