// The CUDA coder of a build without CUDA: there is none.
#include "proto/contract/errors.h"
#include "server/codec/cuda_coder.h"

namespace larder::server {

absl::StatusOr<std::unique_ptr<DeviceCoder>> CreateCudaCoder(const CudaCoderOptions&) {
  return InvalidField("codec_device", "gpu, in a build without CUDA",
                      "auto or cpu, or a build with LARDER_CUDA=ON");
}

}  // namespace larder::server
