// The CUDA arena of a build without CUDA: there is none.
#include "proto/contract/errors.h"
#include "server/memory/cuda_arena.h"

namespace larder::server {

absl::StatusOr<std::unique_ptr<DeviceArena>> CreateCudaArena(const CudaArenaOptions& options) {
  return InvalidField("hbm_bytes", std::to_string(options.bytes) + ", in a build without CUDA",
                      "0, or a build with LARDER_CUDA=ON");
}

int CudaDeviceCount() { return 0; }

}  // namespace larder::server
