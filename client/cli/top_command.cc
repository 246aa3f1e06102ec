#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/stats_text.h"
#include "larder/v1/admin.pb.h"

namespace larder::cli {
namespace {

struct TopOptions {
  double interval_seconds = 1;
  uint64_t count = 0;  // 0: until interrupted
};

int RunTop(const Session& session, const TopOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto admin = session.ConnectAdmin();
  if (!admin.ok()) return Fail(admin.status());
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  v1::StatsResponse before;
  Clock::time_point before_at;
  for (uint64_t shown = 0; options.count == 0 || shown < options.count; ++shown) {
    if (shown > 0) {
      std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_seconds));
    }
    auto stats = (*admin)->Stats(session.Call());
    if (!stats.ok()) return Fail(stats.status());
    const Clock::time_point now = Clock::now();
    if (terminal) std::fputs("\x1b[H\x1b[J", stdout);  // home, clear to the end
    std::fputs(StatsText(*stats).c_str(), stdout);
    if (shown > 0) {
      const double seconds = std::chrono::duration<double>(now - before_at).count();
      std::printf("\n%s", RatesText(before, *stats, seconds).c_str());
    }
    std::fputs("\n", stdout);
    std::fflush(stdout);
    before = *std::move(stats);
    before_at = now;
  }
  return kExitOk;
}

}  // namespace

void AddTop(CLI::App& app, Session& session) {
  AddCommand<TopOptions>(
      app, session, "top", "Watch a server's counters live; end with Ctrl-C",
      "  larder top\n"
      "  larder top --interval 5 --count 12 > load.txt\n",
      [](CLI::App& command, TopOptions& options) {
        command.add_option("--interval", options.interval_seconds, "Seconds between refreshes")
            ->capture_default_str()
            ->check(CLI::Range(0.1, 3600.0));
        command.add_option("--count", options.count, "Refreshes; 0 for ever")
            ->capture_default_str();
      },
      RunTop);
}

}  // namespace larder::cli
