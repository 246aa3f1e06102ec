// `larder`: the command line of Larder. One file per command; this is the table of them.
#include <CLI/CLI.hpp>
#include <exception>
#include <map>
#include <string>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

const std::map<std::string, PlaneChoice> kPlaneChoices = {{"auto", PlaneChoice::kAuto},
                                                          {"inline", PlaneChoice::kInline},
                                                          {"shm", PlaneChoice::kShm},
                                                          {"ucx", PlaneChoice::kUcx}};

constexpr void (*kCommands[])(CLI::App&, Session&) = {
    AddPing,   AddStats, AddTop,  AddManifest, AddLookup, AddPut,        AddGet,     AddBench,
    AddReplay, AddTrace, AddHash, AddDrain,    AddEvict,  AddQuarantine, AddVersion, AddCodec,
};

int Main(int argc, char** argv) {
  Session session;
  CLI::App app(
      "larder: talk to a Larder server, the shared prefix cache of an LLM serving fleet.\n"
      "`larder COMMAND --help` explains a command and gives examples.",
      "larder");
  app.require_subcommand(1);
  app.fallthrough();  // global options may stand after the command too
  app.add_option("--address", session.address, "Server, HOST:PORT")->capture_default_str();
  app.add_option("--timeout-ms", session.timeout_ms, "Deadline of each call")
      ->capture_default_str()
      ->check(CLI::Range(1u, 86'400'000u));
  app.add_option("--plane", session.plane,
                 "How payload travels: shm (this host), ucx, inline (gRPC), or auto, the fastest "
                 "that can be had")
      ->transform(CLI::CheckedTransformer(kPlaneChoices, CLI::ignore_case)
                      .description("{auto,inline,shm,ucx}"))
      ->type_name("PLANE")
      ->default_str("auto");
  app.add_option("--ucx-transports", session.ucx_transports,
                 "UCX transports of the plane ucx, as in UCX_TLS; some must be the server's, too")
      ->capture_default_str();
  app.add_option("--window-bytes", session.window.bytes,
                 "Memory shared with the server for transfers; KiB, MiB, GiB")
      ->capture_default_str()
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false));
  app.add_flag("--window-touch", session.window.touch, "Take the window's memory at the start");
  app.footer(kExitCodesHelp);
  for (const auto add : kCommands) add(app, session);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  try {
    return session.run();
  } catch (const std::exception& error) {
    return Fail(Bug(error.what()));
  }
}

}  // namespace
}  // namespace larder::cli

int main(int argc, char** argv) { return larder::cli::Main(argc, argv); }
