// A kernel of a quantiser, and its launch; included by one .cu per family of codecs, so that they compile side by side.
#pragma once

#include <cuda_runtime.h>

#include "kernels/codec/device/tile_coder.cuh"

namespace larder {

template <typename Quantiser, bool kEncode>
__global__ void __launch_bounds__(kCtaThreads) CodeTiles(const __grid_constant__ TileRun run) {
  extern __shared__ __align__(16) uint8_t shared[];
  DeviceCta cta;
  if constexpr (kEncode) {
    EncodeTile<Quantiser>(cta, run, blockIdx.x, blockIdx.y, shared);
  } else {
    DecodeTile<Quantiser>(cta, run, blockIdx.x, blockIdx.y, shared);
  }
}

// Launches on `stream`. The run holds.
struct TileLaunch {
  const TileRun& run;
  const bool encode;
  const cudaStream_t stream;

  template <typename Quantiser>
  cudaError_t Visit() const {
    return encode ? Launch<Quantiser, true>() : Launch<Quantiser, false>();
  }

 private:
  template <typename Quantiser, bool kEncode>
  cudaError_t Launch() const {
    constexpr uint32_t kBlocksMax = 65'535;             // of a grid's second axis
    constexpr uint32_t kSharedBytesWithoutAsking = 48 * 1024;
    if (run.blocks > kBlocksMax) return cudaErrorInvalidValue;
    const auto kernel = CodeTiles<Quantiser, kEncode>;
    const uint32_t shared_bytes = SharedBytesOf<Quantiser>(run, kEncode);
    if (shared_bytes > kSharedBytesWithoutAsking) {
      const cudaError_t error = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
      if (error != cudaSuccess) return error;
    }
    const dim3 grid(UnitsOf<Quantiser>(run, kEncode), run.blocks);
    kernel<<<grid, kCtaThreads, shared_bytes, stream>>>(run);
    return cudaGetLastError();
  }
};

// One function per family, each in its own .cu.
cudaError_t LaunchFp8(const TileLaunch& launch);
cudaError_t LaunchGgml(const TileLaunch& launch);
cudaError_t LaunchAffine(const TileLaunch& launch);
cudaError_t LaunchKitty(const TileLaunch& launch);
cudaError_t LaunchLossless(const TileLaunch& launch);
cudaError_t LaunchPolar(const TileLaunch& launch);
cudaError_t LaunchPolarRope(const TileLaunch& launch);
cudaError_t LaunchSketch(const TileLaunch& launch);
cudaError_t LaunchSymbols(const TileLaunch& launch);
cudaError_t LaunchTiered(const TileLaunch& launch);
cudaError_t LaunchTurbo(const TileLaunch& launch);

}  // namespace larder
