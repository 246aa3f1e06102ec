// A GPU as tile_check.h's machine. Every CUDA error ends the program with its text: nothing that follows would mean anything.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>

#include "kernels/codec/device/frame_kernels.cuh"
#include "kernels/codec/device/tile_kernels.cuh"
#include "kernels/paging/row_copy_launch.cuh"

namespace larder {

inline constexpr int kExitSkipped = 77;  // what CTest takes for "skipped"

inline void MustSucceed(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "FAILED: %s: %s (%s)\n", what, cudaGetErrorName(error),
               cudaGetErrorString(error));
  std::exit(1);
}

// Prints which device is there; exits as skipped, with a line that says so, when there is none.
inline void RequireDevice(const char* program) {
  int devices = 0;  // without a driver the call leaves it untouched
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("SKIPPED: %s needs a GPU: %s\n", program, cudaGetErrorString(error));
    std::exit(kExitSkipped);
  }
  cudaDeviceProp properties{};
  MustSucceed(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("device: %s, compute capability %d.%d, %d multiprocessors, %zu MB of L2\n",
              properties.name, properties.major, properties.minor, properties.multiProcessorCount,
              static_cast<size_t>(properties.l2CacheSize) >> 20);
}

class GpuMachine {
 public:
  class Buffer {
   public:
    explicit Buffer(size_t bytes) { MustSucceed(cudaMalloc(&memory_, bytes + 16), "cudaMalloc"); }
    ~Buffer() { cudaFree(memory_); }
    Buffer(Buffer&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
    Buffer& operator=(Buffer&&) = delete;
    uint8_t* get() { return static_cast<uint8_t*>(memory_); }

   private:
    void* memory_ = nullptr;
  };

  GpuMachine() { MustSucceed(cudaStreamCreate(&stream_), "cudaStreamCreate"); }
  ~GpuMachine() { cudaStreamDestroy(stream_); }
  GpuMachine(const GpuMachine&) = delete;
  GpuMachine& operator=(const GpuMachine&) = delete;

  cudaStream_t stream() const { return stream_; }

  Buffer Put(std::span<const std::byte> bytes) {
    Buffer buffer(bytes.size());
    if (!bytes.empty()) {
      MustSucceed(cudaMemcpyAsync(buffer.get(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice,
                                  stream_),
                  "copy to the device");
      Wait();
    }
    return buffer;
  }
  void Get(Buffer& buffer, std::span<std::byte> out) {
    if (out.empty()) return;
    MustSucceed(
        cudaMemcpyAsync(out.data(), buffer.get(), out.size(), cudaMemcpyDeviceToHost, stream_),
        "copy from the device");
    Wait();
  }
  bool Encode(const TileRun& run) { return Launched(EncodeTiles(run, stream_)); }
  bool Decode(const TileRun& run) { return Launched(DecodeTiles(run, stream_)); }
  bool Copy(const RowCopy& copy) { return Launched(CopyRows(copy, stream_)); }
  bool EncodeFrames(const BoundFrames& frames) {
    return Launched(larder::EncodeFrames(frames, stream_));
  }
  bool DecodeFrames(const BoundFrames& frames) {
    return Launched(larder::DecodeFrames(frames, stream_));
  }
  void Wait() { MustSucceed(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

 private:
  static bool Launched(cudaError_t error) {
    if (error == cudaErrorInvalidValue) return false;
    MustSucceed(error, "launch");
    return true;
  }

  cudaStream_t stream_ = nullptr;
};

}  // namespace larder
