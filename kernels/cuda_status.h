// What a CUDA call returned, as a Status; the one place that translates. Included only where CUDA is built in.
//
// No device, no driver or a driver too old: UNAVAILABLE, use the host's codecs. Device memory spent: RESOURCE_EXHAUSTED, back
// off. A launcher's arguments: INVALID_ARGUMENT, fix the call. Anything else: INTERNAL; after such an error the context may
// be lost. The calling thread's last error is cleared, so that a later check does not report it again.
#pragma once

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace larder {

// `what` names the operation that returned `error`.
inline absl::Status CudaStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();
  const std::string text =
      absl::StrCat(what, ": ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
  switch (error) {
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInitializationError:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorDevicesUnavailable:
      return absl::UnavailableError(text);
    case cudaErrorMemoryAllocation:
      return absl::ResourceExhaustedError(text);
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
      return absl::InvalidArgumentError(text);
    default:
      return absl::InternalError(text);
  }
}

// Devices that can run our kernels; 0 without a driver. Never fails: a machine without a GPU is no error.
inline int CudaDevices() {
  int count = 0;  // without a driver the call leaves it untouched
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

}  // namespace larder
