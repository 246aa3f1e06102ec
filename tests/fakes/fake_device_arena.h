// A device arena on the heap: copies end later, on threads of its own, and can be held back, made to
// fail, refused, or lost with the device. What a failed copy leaves in its target is rubbish, and so
// is everything on a lost device: nobody may rely on either.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "server/base/check.h"
#include "server/base/mutex.h"
#include "server/memory/copy_queue.h"
#include "server/memory/device_arena.h"

namespace larder::server {

// Thread-safe.
class FakeDeviceArena final : public DeviceArena {
 public:
  explicit FakeDeviceArena(uint64_t bytes, size_t copies_max = 64)
      : memory_(bytes),
        in_(copies_max, [this](const DeviceCopy& copy) { return Run(copy, /*in=*/true); }),
        out_(copies_max, [this](const DeviceCopy& copy) { return Run(copy, /*in=*/false); }) {}
  ~FakeDeviceArena() override { Release(); }

  // No copy ends until Release().
  void Hold() {
    MutexLock lock(mutex_);
    held_ = true;
  }
  void Release() {
    MutexLock lock(mutex_);
    held_ = false;
    changed_.NotifyAll();
  }
  // The next `count` copies fail, the device stays.
  void FailNext(int count) { to_fail_.store(count); }
  // One bit of every 64 bytes turns.
  void Damage() {
    MutexLock lock(mutex_);
    for (size_t at = 0; at < memory_.size(); at += 64) memory_[at] ^= std::byte{1};
  }
  void Lose() {
    MutexLock lock(mutex_);
    lost_ = true;
    std::fill(memory_.begin(), memory_.end(), kRubbish);
  }

  uint64_t bytes() const override { return memory_.size(); }
  bool CopyIn(DeviceCopy copy) override { return in_.Push(std::move(copy)); }
  bool CopyOut(DeviceCopy copy) override { return out_.Push(std::move(copy)); }
  bool lost() const override {
    MutexLock lock(mutex_);
    return lost_;
  }

 private:
  static constexpr std::byte kRubbish{0xA5};

  CopyEnd Run(const DeviceCopy& copy, bool in) {
    MutexLock lock(mutex_);
    while (held_) changed_.Wait(mutex_);
    const bool fails = lost_ || to_fail_.fetch_sub(1) > 0;
    auto host = copy.host.begin();
    uint64_t used = 0;  // of *host
    for (const DeviceRange& range : copy.device) {
      LARDER_CHECK(range.offset <= memory_.size() && range.bytes <= memory_.size() - range.offset);
      for (uint64_t at = 0; at < range.bytes;) {
        while (used == host->size()) {
          ++host;
          used = 0;
        }
        const uint64_t step = std::min(range.bytes - at, host->size() - used);
        std::byte* on_device = memory_.data() + range.offset + at;
        std::byte* on_host = host->data() + used;
        if (fails) {
          std::memset(in ? on_device : on_host, static_cast<int>(kRubbish), step);
        } else {
          std::memcpy(in ? on_device : on_host, in ? on_host : on_device, step);
        }
        at += step;
        used += step;
      }
    }
    return fails ? CopyEnd::kFailed : CopyEnd::kDone;
  }

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<std::byte> memory_;  // guarded, but for its size
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<int> to_fail_{0};
  CopyQueue in_;  // last: their threads use the rest
  CopyQueue out_;
};

}  // namespace larder::server
