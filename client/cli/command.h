// The commands of `larder`. Each lives in its own <name>_command.cc, adds its subcommand and
// options to the app, and sets session.run when the command line names it. main.cc has the table.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/admin_client.h"
#include "client/client.h"

namespace larder::cli {

// What every command shares: the global options, and what main() is to run. Outlives every command.
struct Session {
  std::string address = "127.0.0.1:7440";
  uint32_t timeout_ms = 10'000;
  PlaneChoice plane = PlaneChoice::kAuto;
  WindowOptions window;
  std::string ucx_transports = ClientOptions().ucx_transports;
  std::shared_ptr<DeviceMemory> device;
  std::function<int()> run;  // returns an ExitCode

  CallOptions Call() const { return {.timeout = Milliseconds(timeout_ms)}; }
  absl::StatusOr<std::unique_ptr<Client>> Connect() const {
    return Client::Connect(Server(), Call());
  }
  absl::StatusOr<std::unique_ptr<AdminClient>> ConnectAdmin() const {
    return AdminClient::Connect(Server());
  }

 private:
  ClientOptions Server() const {
    ClientOptions options;
    options.address = address;
    options.plane = plane;
    options.window = window;
    options.ucx_transports = ucx_transports;
    options.device = device;
    options.on_plane_change = [](const PlaneStatus& now) {
      std::fprintf(stderr, "larder: calls take the plane %s now: %s\n",
                   std::string(PlaneName(now.plane)).c_str(), now.reason.c_str());
    };
    return options;
  }
};

// Adds subcommand `name`. `examples` end its --help. The options are a shared Options value that
// lives as long as the app, which `configure` binds to flags and `run` gets.
template <typename Options>
CLI::App* AddCommand(CLI::App& app, Session& session, const std::string& name,
                     const std::string& summary, const std::string& examples,
                     const std::function<void(CLI::App&, Options&)>& configure,
                     int (*run)(const Session&, const Options&)) {
  CLI::App* command = app.add_subcommand(name, summary);
  auto options = std::make_shared<Options>();
  if (configure) configure(*command, *options);
  command->footer("Examples:\n" + examples);
  command->callback([&session, options, run] {
    session.run = [&session, options, run] { return run(session, *options); };
  });
  return command;
}

struct NoOptions {};

void AddPing(CLI::App& app, Session& session);
void AddStats(CLI::App& app, Session& session);
void AddTop(CLI::App& app, Session& session);
void AddManifest(CLI::App& app, Session& session);
void AddLookup(CLI::App& app, Session& session);
void AddPut(CLI::App& app, Session& session);
void AddGet(CLI::App& app, Session& session);
void AddBench(CLI::App& app, Session& session);
void AddCodec(CLI::App& app, Session& session);
void AddReplay(CLI::App& app, Session& session);
void AddTrace(CLI::App& app, Session& session);
void AddHash(CLI::App& app, Session& session);
void AddDrain(CLI::App& app, Session& session);
void AddEvict(CLI::App& app, Session& session);
void AddQuarantine(CLI::App& app, Session& session);
void AddVersion(CLI::App& app, Session& session);

}  // namespace larder::cli
