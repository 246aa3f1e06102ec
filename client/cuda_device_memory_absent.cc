// The CUDA device of a build without CUDA: there is none.
#include "absl/strings/str_cat.h"
#include "client/cuda_device_memory.h"
#include "proto/contract/errors.h"

namespace larder {

absl::StatusOr<std::shared_ptr<DeviceMemory>> OpenCudaDevice(int device) {
  return InvalidField("device", absl::StrCat("cuda:", device, ", in a build without CUDA"),
                      "a build with LARDER_CUDA=ON");
}

}  // namespace larder
