#include "kernels/codec/device/fp8_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchFp8(const TileLaunch& launch) { return VisitFp8(launch.run, launch); }

}  // namespace larder
