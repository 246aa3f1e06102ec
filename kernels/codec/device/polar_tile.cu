#include "kernels/codec/device/polar_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchPolar(const TileLaunch& launch) { return VisitPolar(launch.run, launch); }

}  // namespace larder
