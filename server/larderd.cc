#include "server/larderd.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "server/base/log.h"
#include "server/config.h"

namespace larder::server {
namespace {

// Exit codes: 0 ended by a signal after draining, 1 could not start, 2 bad configuration.
constexpr int kExitStartFailed = 1;
constexpr int kExitBadConfig = 2;

// Waits for a signal that ends the server. They are blocked in every thread, so that only this wait
// sees them.
int WaitForEnd(const sigset_t& signals) {
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

}  // namespace

int RunLarderd(int argc, const char* const* argv, const HbmFactory& hbm) {
  const auto config = ConfigFromCommandLine(argc, argv);
  if (!config.ok()) {
    std::fprintf(stderr, "larderd: %s\n", std::string(config.status().message()).c_str());
    return kExitBadConfig;
  }
  if (!config->has_value()) return 0;

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  InitLog((*config)->log_level);
  LogInfo("config", {{"yaml", (*config)->ToYaml()}});
  auto server = Server::Start(**config, hbm);
  if (!server.ok()) {
    std::fprintf(stderr, "larderd: %s\n", std::string(server.status().message()).c_str());
    return kExitStartFailed;
  }
  const nlohmann::ordered_json ready = {{"event", "ready"},
                                        {"listen", (*server)->listen()},
                                        {"metrics", (*server)->metrics_listen()},
                                        {"pid", getpid()}};
  std::printf("%s\n", ready.dump().c_str());
  std::fflush(stdout);
  LogInfo("ready", {{"listen", (*server)->listen()}, {"metrics", (*server)->metrics_listen()}});

  const int signal = WaitForEnd(signals);
  LogInfo("draining", {{"signal", signal}});
  (*server)->Drain();
  LogInfo("ended", {});
  return 0;
}

}  // namespace larder::server
