#include "client/window_ranges.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace larder {

std::optional<WindowSpan> WindowRanges::Take(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  auto span = TakeLocked(bytes);
  if (!span && !retired_.empty()) {
    SweepLocked();
    span = TakeLocked(bytes);
  }
  return span;
}

std::optional<WindowSpan> WindowRanges::TakeLocked(uint64_t bytes) {
  const uint64_t rounded = Rounded(bytes);
  const auto found = std::find_if(free_.begin(), free_.end(),
                                  [rounded](const auto& gap) { return gap.second >= rounded; });
  if (rounded < bytes || found == free_.end()) return std::nullopt;
  const auto [offset, gap] = *found;
  free_.erase(found);
  if (gap > rounded) free_.emplace(offset + rounded, gap - rounded);
  used_bytes_ += rounded;
  return WindowSpan{offset, bytes};
}

void WindowRanges::Free(const WindowSpan& span) {
  std::lock_guard lock(mutex_);
  FreeLocked(span);
}

void WindowRanges::FreeLocked(const WindowSpan& span) {
  uint64_t offset = span.offset;
  uint64_t bytes = Rounded(span.bytes);
  used_bytes_ -= bytes;
  auto next = free_.lower_bound(offset);
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      bytes += previous->second;
      free_.erase(previous);
    }
  }
  if (next != free_.end() && offset + bytes == next->first) {
    bytes += next->second;
    free_.erase(next);
  }
  free_.emplace(offset, bytes);
}

void WindowRanges::Retire(std::vector<Retired> spans) {
  std::lock_guard lock(mutex_);
  std::move(spans.begin(), spans.end(), std::back_inserter(retired_));
}

void WindowRanges::SweepLocked() {
  std::erase_if(retired_, [this](const Retired& retired) {
    if (!retired.proven()) return false;
    FreeLocked(retired.span);
    return true;
  });
}

uint64_t WindowRanges::used_bytes() const {
  std::lock_guard lock(mutex_);
  return used_bytes_;
}

uint64_t WindowRanges::retired_bytes() {
  std::lock_guard lock(mutex_);
  SweepLocked();
  uint64_t bytes = 0;
  for (const Retired& retired : retired_) bytes += Rounded(retired.span.bytes);
  return bytes;
}

}  // namespace larder
