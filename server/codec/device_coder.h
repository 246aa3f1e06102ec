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

// The largest block that a slot takes.
struct DeviceLimits {
  // 256 tokens of an 8B model with 8 KV heads. Larger blocks are encoded on the CPU.
  uint64_t raw_bytes_max = uint64_t{32} << 20;
  // Of a plan's tables: those of symbols take 4 MiB for keys and as much for values, angles some 100 KiB.
  uint64_t image_bytes_max = uint64_t{16} << 20;
  uint32_t streams_max = 1'024;

  // What an encoder may take more than the raw block, in the worst of cases.
  uint64_t payload_bytes_max() const { return raw_bytes_max + raw_bytes_max / 8; }
  // Tiles of the most they may take, symbols and words: 1 + 1/8, 1/2 and 1 of the raw bytes, and tables by tile.
  uint64_t scratch_bytes_max() const { return 3 * raw_bytes_max; }
  bool Hold(const PlannedBlock& planned, uint64_t raw_bytes) const {
    const FramePlan& plan = planned.plan;
    return raw_bytes <= raw_bytes_max && plan.image().size() <= image_bytes_max &&
           plan.payload_bytes() <= payload_bytes_max() &&
           plan.scratch_bytes(1) <= scratch_bytes_max() && planned.codecs.size() <= streams_max;
  }
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
