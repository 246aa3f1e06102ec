#include "kernels/codec/device/tile_kernels.cuh"

#include "kernels/codec/device/run_setup.h"
#include "kernels/codec/device/tile_launch.cuh"

namespace larder {
namespace {

cudaError_t LaunchRun(const TileRun& run, bool encode, cudaStream_t stream) {
  const TileLaunch launch{run, encode, stream};
  switch (run.id) {
    case CodecId::kFp8:
      return LaunchFp8(launch);
    case CodecId::kGgml:
      return LaunchGgml(launch);
    case CodecId::kAffine:
      return LaunchAffine(launch);
    case CodecId::kKitty:
      return LaunchKitty(launch);
    case CodecId::kPolar:
      return LaunchPolar(launch);
    case CodecId::kTurbo:
      return LaunchTurbo(launch);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t EncodeTiles(const TileRun& run, cudaStream_t stream) {
  if (!RunHolds(run, /*encode=*/true)) return cudaErrorInvalidValue;
  const size_t flags = size_t{run.blocks} * run.streams;
  const cudaError_t error = cudaMemsetAsync(run.refused, 0, flags * sizeof(*run.refused), stream);
  return error != cudaSuccess ? error : LaunchRun(run, /*encode=*/true, stream);
}

cudaError_t DecodeTiles(const TileRun& run, cudaStream_t stream) {
  if (!RunHolds(run, /*encode=*/false)) return cudaErrorInvalidValue;
  return LaunchRun(run, /*encode=*/false, stream);
}

}  // namespace larder
