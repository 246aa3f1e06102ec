// A CUDA device as a client's device memory.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "client/device_memory.h"

namespace larder {

// Memory that this process allocated on CUDA device number `device`, however it did. Each call in flight uses a stream of its own,
// which waits for no other: what writes a block must have ended before it is put. Keeps, per call at the same time, pinned host memory
// for tables and device memory for one stored block.
// INVALID_ARGUMENT, with the reason, when there is no such device, or in a build without CUDA.
absl::StatusOr<std::shared_ptr<DeviceMemory>> OpenCudaDevice(int device);

}  // namespace larder
