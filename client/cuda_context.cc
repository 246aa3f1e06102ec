#include "client/cuda_context.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"

namespace larder {
namespace {

// The oldest driver interface that has all of what is asked for here.
[[maybe_unused]] constexpr unsigned kDriverVersion = 12'000;

template <typename Function>
bool Find(const char* name, Function& function) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &found, kDriverVersion, cudaEnableDefault, &result);
#else
  const cudaError_t error = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess) {
    cudaGetLastError();
    return false;
  }
  function = reinterpret_cast<Function>(found);
  return function != nullptr;
}

absl::Status Refused(const std::string& name, const std::string& why) {
  return InvalidField("device", absl::StrCat(name, ", refused: ", why),
                      "a CUDA device that this process can use");
}

}  // namespace

CudaContext::CudaContext(int device) : device_(device), name_(absl::StrCat("cuda:", device)) {}

absl::StatusOr<std::shared_ptr<CudaContext>> CudaContext::Open(int device) {
  std::shared_ptr<CudaContext> context(new CudaContext(device));
  decltype(&cuInit) init;
  decltype(&cuDeviceGet) get;
  decltype(&cuDevicePrimaryCtxRetain) retain;
  decltype(&cuDevicePrimaryCtxRelease) release;
  if (!Find("cuInit", init) || !Find("cuDeviceGet", get) ||
      !Find("cuDevicePrimaryCtxRetain", retain) || !Find("cuDevicePrimaryCtxRelease", release) ||
      !Find("cuCtxPushCurrent", context->push_) || !Find("cuCtxPopCurrent", context->pop_)) {
    return Refused(context->name(), "no driver, or one that is too old");
  }
  CUresult result = init(0);
  if (result == CUDA_SUCCESS) result = get(&context->handle_, device);
  if (result == CUDA_SUCCESS) result = retain(&context->context_, context->handle_);
  if (result != CUDA_SUCCESS) {
    return Refused(context->name(), absl::StrCat("CUDA error ", static_cast<int>(result)));
  }
  context->release_ = release;
  return context;
}

CudaContext::~CudaContext() {
  if (release_ != nullptr) release_(handle_);
}

}  // namespace larder
