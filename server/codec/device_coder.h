// A device that encodes blocks beside the host: a few slots, each with memory for one block.
//
// A slot's block is started, polled until it has ended, and its result read where it stands in the slot, until the next Start.
// Calls of one slot never overlap; those of different slots may, from any threads. None waits for the device.
//
// The bytes are those of BlockCoder with the same recipe, or the device is broken: it copies, it computes, it does not choose.
// Destruction waits for what runs, within a bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/codec/device/frame_pack.h"
#include "server/codec/device_plans.h"

namespace larder::server {

enum class DeviceStart : uint8_t {
  kStarted,
  kUnfit,   // larger than a slot, in whatever respect
  kFailed,  // nothing runs
};

enum class DeviceState : uint8_t {
  kRuns,
  kDone,
  kFailed,  // nothing runs any more
};

struct DeviceResult {
  std::span<const PlacedStream> placed;
  std::span<const std::byte> payload;
};

class DeviceCoder {
 public:
  virtual ~DeviceCoder() = default;
  virtual size_t slots() const = 0;
  // `planned` and `raw` are not used after the call.
  virtual DeviceStart Start(size_t slot, const PlannedBlock& planned,
                            std::span<const std::byte> raw) = 0;
  virtual DeviceState Poll(size_t slot) = 0;
  virtual DeviceResult Result(size_t slot) const = 0;  // after kDone
};

}  // namespace larder::server
