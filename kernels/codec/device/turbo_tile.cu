#include "kernels/codec/device/turbo_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchTurbo(const TileLaunch& launch) { return VisitTurbo(launch.run, launch); }

}  // namespace larder
