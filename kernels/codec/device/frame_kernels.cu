#include "kernels/codec/device/frame_kernels.cuh"

#include <cuda_runtime.h>

#include "kernels/codec/device/frame_pack.cuh"
#include "kernels/codec/device/tile_kernels.cuh"
#include "kernels/paging/row_copy_launch.cuh"

namespace larder {
namespace {

constexpr uint64_t kGridRowsMax = 65'535;  // of a grid's second axis

__global__ void __launch_bounds__(kCtaThreads)
    LayOutFrames(const __grid_constant__ FramePack pack) {
  DeviceCta cta;
  LayOutFrame(cta, pack, blockIdx.x);
}

__global__ void __launch_bounds__(kCtaThreads) OpenFrames(const __grid_constant__ FramePack pack) {
  DeviceCta cta;
  OpenFrame(cta, pack, blockIdx.x);
}

__global__ void __launch_bounds__(kCtaThreads) PackTiles(const __grid_constant__ FramePack pack) {
  DeviceCta cta;
  PackTile(cta, pack, blockIdx.x / pack.heads, blockIdx.x % pack.heads, blockIdx.y);
}

__global__ void __launch_bounds__(kCtaThreads)
    UnpackAllRows(const __grid_constant__ FramePack pack) {
  DeviceCta cta;
  UnpackRows(cta, pack, blockIdx.x / pack.heads, blockIdx.x % pack.heads, blockIdx.y);
}

bool Holds(const BoundFrames& frames, bool encode) {
  return FramesHold(frames, encode) && (!frames.pack || frames.blocks <= kGridRowsMax);
}

cudaError_t Clear(const FrameClear& clear, uint32_t blocks, cudaStream_t stream) {
  for (uint32_t block = 0; block < blocks; ++block) {
    const cudaError_t error =
        cudaMemset2DAsync(clear.base + block * clear.block_stride,
                          static_cast<size_t>(clear.stream_stride), 0, clear.bytes, clear.streams,
                          stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t EncodeFrames(const BoundFrames& frames, cudaStream_t stream) {
  if (!Holds(frames, /*encode=*/true)) return cudaErrorInvalidValue;
  for (const TileRun& run : frames.runs) {
    const cudaError_t error = EncodeTiles(run, stream);
    if (error != cudaSuccess) return error;
  }
  for (const RowCopy& copy : frames.copies) {
    const cudaError_t error = CopyRows(copy, stream);
    if (error != cudaSuccess) return error;
  }
  for (const FrameClear& clear : frames.clears) {
    const cudaError_t error = Clear(clear, frames.blocks, stream);
    if (error != cudaSuccess) return error;
  }
  if (!frames.pack) return cudaSuccess;
  const FramePack& pack = *frames.pack;
  LayOutFrames<<<pack.blocks, kCtaThreads, 0, stream>>>(pack);
  PackTiles<<<dim3(pack.streams * pack.heads, pack.blocks), kCtaThreads, 0, stream>>>(pack);
  return cudaGetLastError();
}

cudaError_t DecodeFrames(const BoundFrames& frames, cudaStream_t stream) {
  if (!Holds(frames, /*encode=*/false)) return cudaErrorInvalidValue;
  if (frames.pack) {
    const FramePack& pack = *frames.pack;
    OpenFrames<<<pack.blocks, kCtaThreads, 0, stream>>>(pack);
    UnpackAllRows<<<dim3(pack.streams * pack.heads, pack.blocks), kCtaThreads, 0, stream>>>(pack);
    if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  }
  for (const TileRun& run : frames.runs) {
    const cudaError_t error = DecodeTiles(run, stream);
    if (error != cudaSuccess) return error;
  }
  for (const RowCopy& copy : frames.copies) {
    const cudaError_t error = CopyRows(copy, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace larder
