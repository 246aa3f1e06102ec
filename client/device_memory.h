// Memory of a device (a GPU) as where gets end and puts begin.
//
//   auto device = larder::OpenCudaDevice(0);                                  // cuda_device_memory.h
//   auto client = larder::Client::Connect({.device = *device});
//   (*client)->Get(space, {{hash, {pointer_on_the_device, bytes}}});          // raw blocks stand there when it returns
//   (*client)->Get(space, {{.hash = hash, .rows = rows_in_the_engines_pages}});  // or their rows, wherever those belong
//
// A client with a device takes its pointers as destinations of gets and as the bytes of puts. It reaches the device from its window,
// which it pins, or from memory of the call: a block is verified here, crosses as it is stored, and is expanded on the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "kernels/codec/device/frame_plan.h"
#include "kernels/format/frame.h"

namespace larder {

// The work of one call, done by the device in the order given, beside the CPU. Memory of the device that is named here is in use until
// Poll says that nothing runs, and so is pinned memory of the host. Other memory of the host is read at once, and written by the Poll
// that says so. Confined to one thread at a time. Destroyed while something runs, it keeps what is its own.
class DeviceWork {
 public:
  virtual ~DeviceWork() = default;

  // False: the device has failed, and so will Poll.
  virtual bool CopyIn(std::byte* device, std::span<const std::byte> host) = 0;
  virtual bool CopyOut(std::span<std::byte> host, const std::byte* device) = 0;
  // Brings a block of this shape, whose rows stand there so, as a raw block. False: as above, or the device has no room.
  virtual bool GatherOut(std::span<std::byte> host, const BlockRows& rows,
                         const KvShape& shape) = 0;

  // Writes the block of a frame that passed CheckCodecs to these rows. `payload`, of the host: what follows the header region,
  // verified.
  enum class Decoding : uint8_t {
    kQueued,
    kUnfit,  // not by this device: the shape, a codec, alignment, no room; nothing was queued
    kFailed,
  };
  virtual Decoding Decode(const FrameView& frame, std::span<const std::byte> payload,
                          const BlockRows& rows) = 0;

  enum class State : uint8_t { kRuns, kDone, kFailed };
  virtual State Poll() = 0;
  // After kDone: whether every stream of the nth Decode that was queued, from 0, was well-formed; else its block means nothing.
  virtual bool Decoded(size_t nth) const = 0;
};

// kElsewhere: another device's, or this one does not say.
enum class MemoryPlace : uint8_t { kHost, kDevice, kElsewhere };

// Thread-safe.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual std::string name() const = 0;
  // The CPU may touch the host's alone.
  virtual MemoryPlace PlaceOf(const void* memory) const = 0;
  // 256-byte aligned; null when the device has no room. May outlive this.
  virtual std::shared_ptr<std::byte> Allocate(uint64_t bytes) = 0;
  // Host memory that copies are to go from and to at the link's speed, until Unpin. Takes all its pages. Copies work without, slower.
  virtual absl::Status Pin(std::span<std::byte> host) = 0;
  virtual void Unpin(std::span<std::byte> host) = 0;
  // Null when the device does not work.
  virtual std::unique_ptr<DeviceWork> Begin() = 0;
};

}  // namespace larder
