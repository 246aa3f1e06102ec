#include <cstdio>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"

namespace larder::cli {
namespace {

int RunDrain(const Session& session, const NoOptions&) {
  const auto admin = session.ConnectAdmin();
  if (!admin.ok()) return Fail(admin.status());
  const absl::Status drained = (*admin)->Drain(session.Call());
  if (!drained.ok()) return Fail(drained);
  std::puts("draining: new work is refused, calls in flight end normally");
  return kExitOk;
}

}  // namespace

void AddDrain(CLI::App& app, Session& session) {
  AddCommand<NoOptions>(app, session, "drain", "Stop a server's admission, for a restart to come",
                        "  larder drain --address 10.0.0.7:7440\n", {}, RunDrain);
}

}  // namespace larder::cli
