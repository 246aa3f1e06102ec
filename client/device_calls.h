// What the calls of a client do on its device, and what of it has not ended in time. Internal to the client library.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel_time.h"
#include "client/device_memory.h"

namespace larder {

// Thread-safe. Without a device all memory is the host's.
class DeviceCalls {
 public:
  // Of a call that has reached its deadline, or whose client ends: copies take milliseconds, so a device that needs longer
  // stands still.
  static constexpr auto kGrace = std::chrono::milliseconds(50);
  // Calls whose work a device has not ended, about; with so many it gets no more.
  static constexpr size_t kLateMax = 16;
  // Asynchronous calls at a time: a thread each.
  static constexpr size_t kRunsMax = 256;

  explicit DeviceCalls(std::shared_ptr<DeviceMemory> device) : device_(std::move(device)) {}
  // What is late then is kept until it has ended, if any client looks again, or the process does: the device may use it.
  ~DeviceCalls();
  DeviceCalls(const DeviceCalls&) = delete;
  DeviceCalls& operator=(const DeviceCalls&) = delete;

  MemoryPlace PlaceOf(const void* memory) const {
    return device_ == nullptr ? MemoryPlace::kHost : device_->PlaceOf(memory);
  }
  bool Holds(const void* memory) const { return PlaceOf(memory) == MemoryPlace::kDevice; }

  // UNAVAILABLE when the device does not work.
  absl::StatusOr<std::shared_ptr<DeviceWork>> Begin();
  // Waits for all that it was given so far, until kGrace after the deadline at most: not on a thread that others need.
  // UNAVAILABLE when the device failed or is late: then it may still use what it was given, which `owners` keep until it has ended.
  using Owners = std::vector<std::shared_ptr<const void>>;
  absl::Status Await(const std::shared_ptr<DeviceWork>& work, SystemTime deadline, Owners owners);

  // Runs an asynchronous call, which may wait, on a thread of its own. RESOURCE_EXHAUSTED when there are too many.
  absl::Status Run(std::function<void()> call);
  // Waits end within kGrace from now on.
  void BeginClose() { closed_.store(true); }
  // Waits for every Run but the one on this thread.
  void Close();

 private:
  struct Late {
    std::shared_ptr<DeviceMemory> device;
    std::shared_ptr<DeviceWork> work;
    Owners owners;
  };
  // Of all clients that are gone.
  struct Kept {
    std::mutex mutex;
    std::vector<Late> late;
  };
  static Kept& KeptLate();
  // Takes what has ended out of `late`, to be destroyed without its lock.
  static std::vector<Late> Ended(std::vector<Late>& late);
  // Shared with threads that may outlive this by the last step of a call that destroyed its client.
  struct Running {
    std::mutex mutex;
    std::condition_variable changed;
    size_t calls = 0;
  };

  const std::shared_ptr<DeviceMemory> device_;
  std::atomic<bool> closed_{false};
  const std::shared_ptr<Running> running_ = std::make_shared<Running>();
  std::mutex mutex_;
  std::vector<Late> late_;
};

}  // namespace larder
