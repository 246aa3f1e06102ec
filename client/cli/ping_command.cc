#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_file.h"
#include "client/cli/latency_histogram.h"
#include "client/cli/quantity.h"
#include "larder/v1/cache.pb.h"
#include "proto/contract/block_key.h"

namespace larder::cli {
namespace {

struct PingOptions {
  uint32_t count = 5;
  bool json = false;
};

std::string InstanceId(const v1::CapabilitiesResponse& capabilities) {
  const std::string& id = capabilities.instance_id();
  return ToHex({reinterpret_cast<const uint8_t*>(id.data()), id.size()});
}

int RunPing(const Session& session, const PingOptions& options) {
  const auto client = session.Connect();
  if (!client.ok()) return Fail(client.status());
  LatencyHistogram latency;
  v1::CapabilitiesResponse capabilities;
  for (uint32_t i = 0; i < options.count; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    auto answer = (*client)->Capabilities(session.Call());
    if (!answer.ok()) return Fail(answer.status());
    latency.Record(std::chrono::steady_clock::now() - begin);
    capabilities = *std::move(answer);
  }
  std::string codecs;
  for (const auto& codec : capabilities.codecs()) {
    codecs += (codecs.empty() ? "" : ",") + codec.name();
  }
  std::string planes;
  for (const std::string& plane : capabilities.planes()) {
    planes += (planes.empty() ? "" : ",") + plane;
  }
  const PlaneStatus plane = (*client)->plane();
  if (options.json) {
    const nlohmann::ordered_json json = {
        {"address", session.address},
        {"server_version", capabilities.server_version()},
        {"contract_version", std::to_string(capabilities.version_major()) + "." +
                                 std::to_string(capabilities.version_minor())},
        {"instance_id", InstanceId(capabilities)},
        {"codecs", codecs},
        {"draining", capabilities.draining()},
        {"planes", planes},
        {"plane", PlaneName(plane.plane)},
        {"plane_reason", plane.reason},
        {"latency_seconds", QuantilesJson(latency)}};
    const absl::Status written = WriteJson(json, "-");
    return written.ok() ? kExitOk : Fail(written);
  }
  std::printf("larderd %s at %s, contract %u.%u, instance %s, codecs %s%s\n",
              capabilities.server_version().c_str(), session.address.c_str(),
              capabilities.version_major(), capabilities.version_minor(),
              InstanceId(capabilities).c_str(), codecs.c_str(),
              capabilities.draining() ? ", DRAINING" : "");
  std::printf("plane %s (%s); offered: %s\n", std::string(PlaneName(plane.plane)).c_str(),
              plane.reason.c_str(), planes.c_str());
  std::printf("%u round trips, median %s, p99 %s\n", options.count,
              FormatSeconds(*latency.Quantile(0.5)).c_str(),
              FormatSeconds(*latency.Quantile(0.99)).c_str());
  return kExitOk;
}

}  // namespace

void AddPing(CLI::App& app, Session& session) {
  AddCommand<PingOptions>(
      app, session, "ping", "Check that a server answers and speaks our contract",
      "  larder ping\n"
      "  larder ping --address 10.0.0.7:7440 --count 100 --json\n",
      [](CLI::App& command, PingOptions& options) {
        command.add_option("--count", options.count, "Round trips")
            ->capture_default_str()
            ->check(CLI::Range(1u, 1'000'000u));
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunPing);
}

}  // namespace larder::cli
