#include "client/cache_choice.h"

#include <algorithm>
#include <bit>

namespace larder {
namespace {

// How much the latest call counts.
constexpr double kWeight = 0.25;
// More than so many times what is known has other reasons than a cache: a block that came from SSD, a thread that did not run.
// When it does not, it is known soon.
constexpr double kOddFactor = 2;

}  // namespace

CacheChoice::SizeClass* CacheChoice::ClassOfLocked(uint64_t room_bytes) {
  if (room_bytes < kBytesMin || room_bytes >= kBytesMax) return nullptr;
  static_assert(std::bit_width((kBytesMax - 1) / kBytesMin) == kClasses);
  return &classes_[std::bit_width(room_bytes / kBytesMin) - 1];
}

bool CacheChoice::ToCaches(uint64_t room_bytes) {
  std::lock_guard lock(mutex_);
  SizeClass* const sizes = ClassOfLocked(room_bytes);
  if (sizes == nullptr) return false;
  const bool tries = ++sizes->calls >= sizes->try_every;
  if (tries) sizes->calls = 0;
  return sizes->better() != tries;
}

void CacheChoice::Record(uint64_t room_bytes, bool to_caches, uint64_t bytes,
                         std::chrono::nanoseconds took) {
  std::lock_guard lock(mutex_);
  SizeClass* const sizes = ClassOfLocked(room_bytes);
  if (sizes == nullptr || bytes == 0) return;
  const double cost =
      std::max<double>(1, static_cast<double>(took.count())) / static_cast<double>(bytes);
  double& known = sizes->cost[to_caches];
  const bool better = sizes->better();
  const bool tried = sizes->known() && to_caches != better;
  if (known == 0 || tried) {
    known = cost;  // what is tried seldom is to be known as it is now
  } else {
    known += kWeight * (std::min(cost, kOddFactor * known) - known);
  }
  if (sizes->better() != better) {
    sizes->try_every = kTryEveryMin;
    sizes->calls = 0;
  } else if (tried) {
    sizes->try_every = std::min(2 * sizes->try_every, kTryEveryMax);
  }
}

}  // namespace larder
