// A progress bar on stderr: drawn only when stderr is a terminal, at most ten times a second,
// erased when it ends. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace larder::cli {

class Progress {
 public:
  Progress(std::string label, uint64_t total);
  ~Progress();  // erases the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Add(uint64_t done);

 private:
  using Clock = std::chrono::steady_clock;

  void Draw(uint64_t done);

  const std::string label_;
  const uint64_t total_;
  const bool terminal_;
  const Clock::time_point start_;
  std::atomic<uint64_t> done_{0};
  std::mutex drawing_;
  Clock::time_point drawn_;  // guarded by drawing_
};

// "replay  [#####.....]  50 %  6,015/12,031  ETA 41.0 s". Pure.
std::string ProgressLine(const std::string& label, uint64_t done, uint64_t total,
                         double elapsed_seconds);

}  // namespace larder::cli
