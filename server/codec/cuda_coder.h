// Blocks encoded on a CUDA device: copied there, coded by the kernels (kernels/codec/device/frame_kernels.cuh) and copied back, on
// a stream per slot, through pinned memory that is taken once.
//
// A slot takes blocks of up to raw_bytes_max and, on the device, up to six times that much memory: the raw block, its payload, and
// tiles, symbols and words of codecs whose size varies. How long the payload is the device says; it is brought by a second copy of
// just that many bytes, which Poll starts. A plan's tables stay there until the slot gets another plan.
// Nothing here aborts without a driver or a device: Create says what is missing. A stream that is stuck at the end keeps its slot's
// memory: the device might still write there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "server/codec/device_coder.h"

namespace larder::server {

struct CudaCoderOptions {
  int device = 0;
  size_t slots = 3;  // one on its way in, one being coded, one on its way out
  DeviceLimits limits;
};

// INVALID_ARGUMENT, with the reason and what to do, when there is no device, it has not enough memory free, or this program was
// built without CUDA.
absl::StatusOr<std::unique_ptr<DeviceCoder>> CreateCudaCoder(const CudaCoderOptions& options);

}  // namespace larder::server
