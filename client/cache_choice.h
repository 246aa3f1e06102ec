// Whether the server's copies into a window of shared memory stay in its caches, or go past them to memory. What is faster
// depends on whether the server's core and the client's share a cache: 15 beside 11 GB/s where they do and a call fits, and
// the other way round, up to four times slower, where each line must be handed over. Neither side can see that (in a
// virtual machine not even the operating system can), and it changes when the scheduler moves a thread or the host a
// core. So it is measured: calls are timed, and the way that costs less per byte is taken, by size of call.
//
// The other way is tried every so often: less and less often as long as it loses, so that a try which costs several times as
// much is a few per cent of the time at most. Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace larder {

class CacheChoice {
 public:
  // Smaller calls are over before it matters; larger ones fit no cache.
  static constexpr uint64_t kBytesMin = 128 << 10;
  static constexpr uint64_t kBytesMax = 64 << 20;
  // Calls between two tries of what loses.
  static constexpr uint32_t kTryEveryMin = 16;
  static constexpr uint32_t kTryEveryMax = 256;

  // How the copies of a call of so many bytes are to be made; true: into the caches.
  bool Next(uint64_t bytes);
  // What such a call has taken.
  void Record(uint64_t bytes, bool cached, std::chrono::nanoseconds took);

 private:
  // Of calls of a size, to a factor of two.
  struct Size {
    std::array<double, 2>
        cost{};          // nanoseconds per byte, past the caches and into them; 0: not known
    uint32_t calls = 0;  // since the last try
    uint32_t try_every = kTryEveryMin;
    bool better() const { return cost[1] < cost[0]; }
  };
  static constexpr size_t kSizes = 10;
  Size* SizeOf(uint64_t bytes);  // null: not asked

  std::mutex mutex_;
  std::array<Size, kSizes> sizes_;
};

}  // namespace larder
