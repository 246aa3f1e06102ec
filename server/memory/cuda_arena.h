// Memory of a CUDA device: one allocation, and one stream with two pinned staging buffers for each
// direction, so that the host's copy into one overlaps the device's copy out of the other.
//
// Nothing here aborts without a driver or a device: Create() says what is missing. Any failed CUDA
// call after that loses the device (device_arena.h); so does a copy that makes no progress for
// stall_timeout. A lost arena keeps its pinned memory: the device might still write there.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "server/memory/device_arena.h"

namespace larder::server {

struct CudaArenaOptions {
  uint64_t bytes = 0;  // rounded down to whole granules (kGranuleBytes)
  int device = 0;
  // Of each of four buffers. 4 MiB: larger ones copy no faster.
  uint64_t staging_bytes = uint64_t{4} << 20;
  size_t copies_max = 1'024;  // waiting, in each direction
  // Far beyond any copy of a healthy device; within the deadlines of most calls.
  std::chrono::milliseconds stall_timeout{2'000};
};

// INVALID_ARGUMENT, with the reason and what to do, when there is no device, it has not as much
// memory free, or this program was built without CUDA.
absl::StatusOr<std::unique_ptr<DeviceArena>> CreateCudaArena(const CudaArenaOptions& options);

// Devices that this process can use; 0 without a driver, or built without CUDA.
int CudaDeviceCount();

}  // namespace larder::server
