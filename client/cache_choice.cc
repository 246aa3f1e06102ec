#include "client/cache_choice.h"

#include <algorithm>
#include <bit>

namespace larder {
namespace {

// How much the latest call counts.
constexpr double kWeight = 0.25;

}  // namespace

CacheChoice::Size* CacheChoice::SizeOf(uint64_t bytes) {
  if (bytes < kBytesMin || bytes > kBytesMax) return nullptr;
  static_assert(std::bit_width(kBytesMax / kBytesMin) == kSizes);
  return &sizes_[std::bit_width(bytes / kBytesMin) - 1];
}

bool CacheChoice::Next(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  Size* const size = SizeOf(bytes);
  if (size == nullptr) return false;
  for (const bool cached : {false, true}) {
    if (size->cost[cached] == 0) return cached;
  }
  if (++size->calls < size->try_every) return size->better();
  size->calls = 0;
  return !size->better();
}

void CacheChoice::Record(uint64_t bytes, bool cached, std::chrono::nanoseconds took) {
  std::lock_guard lock(mutex_);
  Size* const size = SizeOf(bytes);
  if (size == nullptr) return;
  const double cost =
      std::max<double>(1, static_cast<double>(took.count())) / static_cast<double>(bytes);
  double& known = size->cost[cached];
  const bool tried = known != 0 && cached != size->better();
  // What is tried seldom is to be known as it is now.
  known = known == 0 || tried ? cost : known + kWeight * (cost - known);
  if (!tried) return;
  size->try_every =
      cached == size->better() ? kTryEveryMin : std::min(2 * size->try_every, kTryEveryMax);
}

}  // namespace larder
