#include "kernels/codec/device/frame_kernels.cuh"

#include <utility>

#include "kernels/codec/device/tile_kernels.cuh"
#include "kernels/paging/row_copy_launch.cuh"

namespace larder {
namespace {

bool Holds(const BoundFrames& frames, bool encode) {
  for (const TileRun& run : frames.runs) {
    if (!RunHolds(run, encode)) return false;
  }
  for (const RowCopy& copy : frames.copies) {
    if (!RowCopyHolds(copy)) return false;
  }
  return frames.blocks > 0;
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
  return cudaSuccess;
}

cudaError_t DecodeFrames(const BoundFrames& frames, cudaStream_t stream) {
  if (!Holds(frames, /*encode=*/false)) return cudaErrorInvalidValue;
  for (const TileRun& run : frames.runs) {
    const cudaError_t error = DecodeTiles(run, stream);
    if (error != cudaSuccess) return error;
  }
  for (RowCopy copy : frames.copies) {
    std::swap(copy.from, copy.to);
    const cudaError_t error = CopyRows(copy, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace larder
