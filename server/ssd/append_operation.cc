#include "server/ssd/append_operation.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace larder::server {

AppendOperation::AppendOperation(SsdRecord record, std::vector<std::span<const std::byte>> frame,
                                 Done done)
    : entry{.record = std::move(record)}, frame_(std::move(frame)), done_(std::move(done)) {
  MutexLock lock(mutex_);
  for (const std::span<const std::byte> piece : frame_) frame_bytes += piece.size();
}

void AppendOperation::SetDone(Done done) {
  MutexLock lock(mutex_);
  done_ = std::move(done);
}

bool AppendOperation::Abandon() {
  MutexLock lock(mutex_);
  frame_.clear();
  return static_cast<bool>(std::exchange(done_, nullptr));
}

bool AppendOperation::End(absl::StatusOr<SsdLocation> result) {
  Done done;
  {
    MutexLock lock(mutex_);
    done = std::exchange(done_, nullptr);
    frame_.clear();
  }
  if (!done) return false;
  done(std::move(result));
  return true;
}

bool AppendOperation::ended() const {
  MutexLock lock(mutex_);
  return !done_;
}

void AppendOperation::Copy(uint64_t offset, std::span<std::byte> into) {
  MutexLock lock(mutex_);
  for (const std::span<const std::byte> piece : frame_) {
    if (into.empty()) return;
    if (offset >= piece.size()) {
      offset -= piece.size();
      continue;
    }
    const size_t bytes = std::min<size_t>(piece.size() - offset, into.size());
    std::memcpy(into.data(), piece.data() + offset, bytes);
    into = into.subspan(bytes);
    offset = 0;
  }
  std::fill(into.begin(), into.end(), std::byte{0});
}

}  // namespace larder::server
