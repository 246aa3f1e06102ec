#include <cstdio>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_file.h"
#include "proto/contract/limits.h"

namespace larder::cli {
namespace {

struct VersionOptions {
  bool json = false;
};

int RunVersion(const Session&, const VersionOptions& options) {
  if (options.json) {
    const nlohmann::ordered_json json = {{"version", LARDER_VERSION},
                                         {"contract_version_major", kContractVersionMajor},
                                         {"contract_version_minor", kContractVersionMinor}};
    const absl::Status written = WriteJson(json, "-");
    return written.ok() ? kExitOk : Fail(written);
  }
  std::printf("larder %s, contract %u.%u\n", LARDER_VERSION, kContractVersionMajor,
              kContractVersionMinor);
  return kExitOk;
}

}  // namespace

void AddVersion(CLI::App& app, Session& session) {
  AddCommand<VersionOptions>(
      app, session, "version", "Show this program's version", "  larder version\n",
      [](CLI::App& command, VersionOptions& options) {
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunVersion);
}

}  // namespace larder::cli
