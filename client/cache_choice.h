// Whether the server's copies into a window of shared memory should stay in its caches, or go past them to memory. What is
// faster depends on whether the server's core and the client's share a cache: 15 beside 11 GB/s where they do, and the other
// way round, up to four times slower, where each line must be handed over. Neither side can see that (in a virtual machine
// not even the operating system can), and it changes when the scheduler moves a thread or the host a core. So it is
// measured: calls are timed, and the way that costs less per byte is taken, by size of call.
//
// The other way is tried every so often: less and less often as long as it loses, so that in the long run a try which costs
// four times as much is a hundredth of the time. What else a call's time depends on (codecs, views or copies) is the same for
// both ways as long as the calls of one size are of one kind; where they are not, the choice is as good as their mix.
// Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace larder {

class CacheChoice {
 public:
  // Smaller calls are over before it matters; larger ones are not looked at.
  static constexpr uint64_t kBytesMin = 128 << 10;
  static constexpr uint64_t kBytesMax = 64 << 20;
  // Calls between two tries of what loses.
  static constexpr uint32_t kTryEveryMin = 16;
  static constexpr uint32_t kTryEveryMax = 256;

  // How the copies of the next call with room for so many bytes are to be made.
  bool ToCaches(uint64_t room_bytes);
  // What such a call has taken, when that is the time of its copies: it waited for nothing else, and every byte came. Calls
  // that are not told of here are no harm.
  void Record(uint64_t room_bytes, bool to_caches, uint64_t bytes, std::chrono::nanoseconds took);

 private:
  // Of calls of a size, to a factor of two.
  struct SizeClass {
    // Nanoseconds per byte, past the caches and into them; 0: not known.
    std::array<double, 2> cost{};
    uint32_t try_every = kTryEveryMin;
    uint32_t calls = kTryEveryMin - 2;  // since the last try: the second call is one
    bool known() const { return cost[0] != 0 && cost[1] != 0; }
    bool better() const { return known() && cost[1] < cost[0]; }
  };
  static constexpr size_t kClasses = 9;
  SizeClass* ClassOfLocked(uint64_t room_bytes);  // null: not looked at

  std::mutex mutex_;
  std::array<SizeClass, kClasses> classes_;
};

}  // namespace larder
