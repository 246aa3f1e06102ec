#include "server/ssd/staging_pool.h"

#include <iterator>

#include "server/base/check.h"
#include "server/ssd/segment_format.h"

namespace larder::server {

StagingPool::StagingPool(std::span<std::byte> memory) : memory_(memory) {
  MutexLock lock(mutex_);
  free_.emplace(0, memory_.size());
}

std::span<std::byte> StagingPool::Take(uint64_t bytes) {
  bytes = AlignUp(bytes, kIoAlignment);
  MutexLock lock(mutex_);
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    if (piece->second < bytes) continue;
    const uint64_t offset = piece->first;
    const uint64_t rest = piece->second - bytes;
    free_.erase(piece);
    if (rest > 0) free_.emplace(offset + bytes, rest);
    used_bytes_ += bytes;
    return memory_.subspan(offset, bytes);
  }
  return {};
}

void StagingPool::Give(std::span<std::byte> piece) {
  uint64_t offset = static_cast<uint64_t>(piece.data() - memory_.data());
  uint64_t bytes = piece.size();
  MutexLock lock(mutex_);
  LARDER_CHECK(bytes <= used_bytes_);
  used_bytes_ -= bytes;
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + bytes) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    LARDER_CHECK(before->first + before->second <= offset);  // given back twice
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  free_.emplace(offset, bytes);
}

uint64_t StagingPool::used_bytes() const {
  MutexLock lock(mutex_);
  return used_bytes_;
}

}  // namespace larder::server
