// The context of a CUDA device, made current for as long as a call of ours needs it. Internal to the client library.
//
// The calling thread belongs to somebody else, who may work with another device: its current context is pushed aside and put back.
// cudaSetDevice can not do that: putting back device 0 on a thread that never had one makes a context there, half a GiB of its memory.
// The driver is found at run time, so a program that has this starts without one.
#pragma once

#include <cuda.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace larder {

// Thread-safe.
class CudaContext {
 public:
  // The device's primary context, which the runtime and other libraries share. INVALID_ARGUMENT with the reason.
  static absl::StatusOr<std::shared_ptr<CudaContext>> Open(int device);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  int device() const { return device_; }
  const std::string& name() const { return name_; }

  // Current on this thread from here to the end of the scope; else every CUDA call fails or goes elsewhere.
  class Scope {
   public:
    explicit Scope(const CudaContext& context) : context_(context) {
      entered_ = context_.push_(context_.context_) == CUDA_SUCCESS;
    }
    ~Scope() {
      CUcontext ours;
      if (entered_) context_.pop_(&ours);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    bool entered() const { return entered_; }

   private:
    const CudaContext& context_;
    bool entered_;
  };

 private:
  explicit CudaContext(int device);

  const int device_;
  const std::string name_;
  CUdevice handle_ = 0;
  CUcontext context_ = nullptr;
  decltype(&cuCtxPushCurrent) push_ = nullptr;
  decltype(&cuCtxPopCurrent) pop_ = nullptr;
  decltype(&cuDevicePrimaryCtxRelease) release_ = nullptr;
};

}  // namespace larder
