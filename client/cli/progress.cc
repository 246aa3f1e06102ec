#include "client/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "client/cli/quantity.h"

namespace larder::cli {

Progress::Progress(std::string label, uint64_t total)
    : label_(std::move(label)),
      total_(total),
      terminal_(::isatty(STDERR_FILENO) != 0),
      start_(Clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
  if (terminal_) std::fputs("\r\x1b[K", stderr);
}

void Progress::Add(uint64_t done) {
  const uint64_t now_done = done_.fetch_add(done, std::memory_order_relaxed) + done;
  if (terminal_) Draw(now_done);
}

void Progress::Draw(uint64_t done) {
  // Whoever finds the terminal busy goes on with its work: the next one draws.
  std::unique_lock lock(drawing_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  const Clock::time_point now = Clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  std::fprintf(stderr, "\r%s\x1b[K", ProgressLine(label_, done, total_, elapsed).c_str());
  std::fflush(stderr);
}

std::string ProgressLine(const std::string& label, uint64_t done, uint64_t total,
                         double elapsed_seconds) {
  constexpr uint64_t kBarWidth = 30;
  done = std::min(done, total);
  const double part = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  const auto filled = static_cast<size_t>(part * kBarWidth);
  std::string line = label + "  [" + std::string(filled, '#') +
                     std::string(kBarWidth - filled, '.') + "]  " +
                     std::to_string(static_cast<int>(part * 100)) + " %  " + FormatCount(done) +
                     "/" + FormatCount(total);
  if (done > 0) line += "  ETA " + FormatSeconds(elapsed_seconds * (1 - part) / part);
  return line;
}

}  // namespace larder::cli
