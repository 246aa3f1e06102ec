// A real larderd on loopback for one test; dies with this object. See child_process.h for who may
// start it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/child_process.h"

namespace larder::testing {

class ServerProcess : public ChildProcess {
 public:
  // Returns when the server serves; a server that does not ends the test program. Flags are
  // larderd's; free ports unless they name some.
  explicit ServerProcess(std::vector<std::string> flags) : ChildProcess(Command(std::move(flags))) {
    constexpr std::chrono::seconds kReadyTimeout{30};
    const auto line = ReadLine(kReadyTimeout);
    const auto ready =
        nlohmann::json::parse(line.value_or(""), nullptr, /*allow_exceptions=*/false);
    if (!ready.is_object() || ready.value("event", "") != "ready") {
      std::fprintf(stderr, "larderd did not get ready; it printed '%s'\n",
                   line.value_or("").c_str());
      std::abort();
    }
    address_ = ready.value("listen", "");
    metrics_address_ = ready.value("metrics", "");
  }

  const std::string& address() const { return address_; }
  const std::string& metrics_address() const { return metrics_address_; }
  void Terminate() const { Signal(SIGTERM); }

 private:
  static std::vector<std::string> Command(std::vector<std::string> flags) {
    std::vector<std::string> command = {
        LARDERD_PATH,  "--listen",    "127.0.0.1:0", "--metrics-listen",
        "127.0.0.1:0", "--log-level", "error"};
    for (size_t i = 0; i + 1 < flags.size(); i += 2) {
      if (flags[i] == "--listen")
        command[2] = flags[i + 1];
      else
        command.insert(command.end(), {flags[i], flags[i + 1]});
    }
    return command;
  }

  std::string address_;
  std::string metrics_address_;
};

}  // namespace larder::testing
