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
    case CodecId::kLossless:
      return LaunchLossless(launch);
    case CodecId::kUniform:
    case CodecId::kCacheGen:
      return LaunchSymbols(launch);
    case CodecId::kTurboProd:
    case CodecId::kQjl:
      return LaunchSketch(launch);
    case CodecId::kPolar:
      return LaunchPolar(launch);
    case CodecId::kPolarRope:
      return LaunchPolarRope(launch);
    case CodecId::kTurboTiered:
      return LaunchTiered(launch);
    case CodecId::kTurbo:
      return LaunchTurbo(launch);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t ClearRefused(const TileRun& run, cudaStream_t stream) {
  const size_t flags = size_t{run.blocks} * run.streams;
  return cudaMemsetAsync(run.refused, 0, flags * sizeof(*run.refused), stream);
}

}  // namespace

cudaError_t EncodeTiles(const TileRun& run, cudaStream_t stream) {
  if (!RunHolds(run, /*encode=*/true)) return cudaErrorInvalidValue;
  const cudaError_t error = ClearRefused(run, stream);
  return error != cudaSuccess ? error : LaunchRun(run, /*encode=*/true, stream);
}

cudaError_t DecodeTiles(const TileRun& run, cudaStream_t stream) {
  if (!RunHolds(run, /*encode=*/false)) return cudaErrorInvalidValue;
  const cudaError_t error = SizeVaries(run.id) ? ClearRefused(run, stream) : cudaSuccess;
  return error != cudaSuccess ? error : LaunchRun(run, /*encode=*/false, stream);
}

}  // namespace larder
