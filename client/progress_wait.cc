#include "client/progress_wait.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace larder {
namespace {

constexpr int kSpins = 2'000;
// The kernel adds its timer slack of 50 us, and the wake-up takes its time.
constexpr long kNapNanoseconds = 20'000;
constexpr long kSleepNanoseconds = 5'000'000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

bool SpinUntilChanged(const std::atomic<uint32_t>& word, uint32_t seen) {
  for (int i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_relaxed) != seen) return true;
    Pause();
  }
  return false;
}

void Nap() {
  const timespec time{0, kNapNanoseconds};
  ::nanosleep(&time, nullptr);
}

void SleepOn(std::atomic<uint32_t>& word, uint32_t seen) {
  const timespec timeout{0, kSleepNanoseconds};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &timeout, nullptr, 0);
}

void WakeAll(std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace larder
