#include <cstdio>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/proto_json.h"
#include "client/cli/stats_text.h"

namespace larder::cli {
namespace {

struct StatsOptions {
  bool json = false;
  bool config = false;
};

int RunStats(const Session& session, const StatsOptions& options) {
  const auto admin = session.ConnectAdmin();
  if (!admin.ok()) return Fail(admin.status());
  if (options.config) {
    const auto yaml = (*admin)->ConfigYaml(session.Call());
    if (!yaml.ok()) return Fail(yaml.status());
    std::fputs(yaml->c_str(), stdout);
    return kExitOk;
  }
  const auto stats = (*admin)->Stats(session.Call());
  if (!stats.ok()) return Fail(stats.status());
  if (options.json) {
    PrintProtoJson(*stats);
  } else {
    std::fputs(StatsText(*stats).c_str(), stdout);
  }
  return kExitOk;
}

}  // namespace

void AddStats(CLI::App& app, Session& session) {
  AddCommand<StatsOptions>(
      app, session, "stats", "Show a server's counters and fills",
      "  larder stats\n"
      "  larder stats --json | jq .tiers\n"
      "  larder stats --config      # the effective configuration\n",
      [](CLI::App& command, StatsOptions& options) {
        CLI::Option* json = command.add_flag("--json", options.json, "JSON on stdout");
        command.add_flag("--config", options.config, "The effective configuration, as YAML")
            ->excludes(json);
      },
      RunStats);
}

}  // namespace larder::cli
