#include <cuda_runtime.h>

#include "kernels/paging/row_copy.cuh"
#include "kernels/paging/row_copy_launch.cuh"

namespace larder {
namespace {

__global__ void __launch_bounds__(kCtaThreads)
    CopyRowsKernel(const __grid_constant__ RowCopy copy) {
  DeviceCta cta;
  CopyRowsOf(cta, copy, blockIdx.x, blockIdx.y % copy.streams, blockIdx.y / copy.streams);
}

}  // namespace

cudaError_t CopyRows(const RowCopy& copy, cudaStream_t stream) {
  constexpr uint64_t kStreamsMax = 65'535;  // of a grid's second axis
  if (!RowCopyHolds(copy)) return cudaErrorInvalidValue;
  if (uint64_t{copy.blocks} * copy.streams > kStreamsMax) return cudaErrorInvalidValue;
  const dim3 grid(CopyUnits(copy), copy.blocks * copy.streams);
  CopyRowsKernel<<<grid, kCtaThreads, 0, stream>>>(copy);
  return cudaGetLastError();
}

}  // namespace larder
