#include "kernels/codec/device/tiered_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchTiered(const TileLaunch& launch) { return VisitTiered(launch.run, launch); }

}  // namespace larder
