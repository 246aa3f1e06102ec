// One range of a device's memory, which the host reaches by copies alone.
//
// Copies are asynchronous: each direction has a queue of its own and ends its copies in the order in
// which they came. A copy touches its host memory and its device ranges from the call until `done`,
// which is called exactly once, on a thread of the arena; it must not wait for another copy.
//
// A device may be lost (reset, fallen off the bus, stuck for longer than the arena's limit). Every
// copy then ends with kFailed, those to come at once, and nothing is read from the device any more:
// what was in it is gone. A process does not get a lost device back.
//
// Thread-safe. Destruction ends what is queued with kFailed and waits for the copy that runs, which
// ends within the arena's limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "absl/container/inlined_vector.h"

namespace larder::server {

struct DeviceRange {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
using DeviceRanges = absl::InlinedVector<DeviceRange, 8>;
using HostRanges = absl::InlinedVector<std::span<std::byte>, 4>;

enum class CopyEnd : uint8_t {
  kDone,
  kFailed,  // the target's bytes are undefined
};

struct DeviceCopy {
  DeviceRanges device;
  HostRanges host;  // as many bytes as `device`
  std::function<void(CopyEnd)> done;
};

class DeviceArena {
 public:
  virtual ~DeviceArena() = default;
  virtual uint64_t bytes() const = 0;
  // Host to device, device to host. False, and nothing happens, when too many copies wait: go on
  // without the device.
  virtual bool CopyIn(DeviceCopy copy) = 0;
  virtual bool CopyOut(DeviceCopy copy) = 0;
  virtual bool lost() const = 0;
};

}  // namespace larder::server
