#include <cstdio>
#include <string>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/manifest_file.h"
#include "client/cli/proto_json.h"
#include "client/cli/quantity.h"
#include "client/cli/table.h"
#include "larder/v1/admin.pb.h"

namespace larder::cli {
namespace {

struct QuarantineOptions {
  bool json = false;
};

int RunQuarantine(const Session& session, const QuarantineOptions& options) {
  const auto admin = session.ConnectAdmin();
  if (!admin.ok()) return Fail(admin.status());
  const auto answer = (*admin)->Quarantine(session.Call());
  if (!answer.ok()) return Fail(answer.status());
  if (options.json) {
    PrintProtoJson(*answer);
    return kExitOk;
  }
  if (answer->blocks().empty()) {
    std::puts("no block is quarantined");
    return kExitOk;
  }
  Table table({{"space"}, {"hash"}, {"age", Align::kRight}, {"reason"}});
  for (const v1::QuarantinedBlock& block : answer->blocks()) {
    const std::string& hash = block.prefix_hash();
    table.AddRow({FormatSpaceId(block.space_id()),
                  ToHex({reinterpret_cast<const uint8_t*>(hash.data()), hash.size()}),
                  FormatSeconds(block.age_seconds()), block.reason()});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddQuarantine(CLI::App& app, Session& session) {
  AddCommand<QuarantineOptions>(
      app, session, "quarantine", "List blocks that failed verification and were withdrawn",
      "  larder quarantine\n",
      [](CLI::App& command, QuarantineOptions& options) {
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunQuarantine);
}

}  // namespace larder::cli
