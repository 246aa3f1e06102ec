// What the calls of a client do on its device, and what of it has not ended in time. Internal to the client library.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel_time.h"
#include "client/device_memory.h"

namespace larder {

// Thread-safe. A null device holds no memory.
class DeviceCalls {
 public:
  // Of a call that has reached its deadline: copies take milliseconds, so a device that needs longer stands still.
  static constexpr auto kGrace = std::chrono::milliseconds(50);
  // Calls whose work a device has not ended; with so many it gets no more.
  static constexpr size_t kLateMax = 16;

  explicit DeviceCalls(std::shared_ptr<DeviceMemory> device) : device_(std::move(device)) {}

  bool Holds(const void* memory) const { return device_ != nullptr && device_->Holds(memory); }

  // UNAVAILABLE when the device does not work.
  absl::StatusOr<std::shared_ptr<DeviceWork>> Begin();
  // Waits for all that it was given so far, until kGrace after the deadline at most. UNAVAILABLE when the device failed or is
  // late: then it may still use what it was given, which `owners` keep until it has ended.
  using Owners = std::vector<std::shared_ptr<const void>>;
  absl::Status Await(const std::shared_ptr<DeviceWork>& work, SystemTime deadline, Owners owners);

 private:
  struct Late {
    std::shared_ptr<DeviceWork> work;
    Owners owners;
  };
  const std::shared_ptr<DeviceMemory> device_;
  std::mutex mutex_;
  std::vector<Late> late_;
};

}  // namespace larder
