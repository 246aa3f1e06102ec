// Which parts of a window are in use: first fit, so that the same warm pages serve again and again. Internal
// to the client library.
//
// A range whose transfer may still touch it (its call ended without an answer) is retired, not free: it comes
// back when `proven` says so, or with the whole window. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "client/client_window.h"

namespace larder {

class WindowRanges {
 public:
  static constexpr uint64_t kAlignment = 4096;  // ranges share no page

  explicit WindowRanges(uint64_t bytes) { free_.emplace(0, bytes / kAlignment * kAlignment); }

  // nullopt when no free stretch is long enough. `bytes` > 0; the span has that many, its range more.
  std::optional<WindowSpan> Take(uint64_t bytes);
  void Free(const WindowSpan& span);
  struct Retired {
    WindowSpan span;
    std::function<bool()> proven;
  };
  // As Free for each, as soon as its `proven` returns true: they are asked whenever room is short, oldest first
  // and these in their order, so one may read memory that stands before it here. All at once: none of them can
  // be given away before all are known.
  void Retire(std::vector<Retired> spans);

  uint64_t used_bytes() const;
  // Of retired ranges, those that are not proven yet.
  uint64_t retired_bytes();

 private:
  static uint64_t Rounded(uint64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  std::optional<WindowSpan> TakeLocked(uint64_t bytes);
  void FreeLocked(const WindowSpan& span);
  void SweepLocked();

  mutable std::mutex mutex_;
  std::map<uint64_t, uint64_t> free_;  // offset -> bytes, never adjacent
  std::vector<Retired> retired_;
  uint64_t used_bytes_ = 0;
};

}  // namespace larder
