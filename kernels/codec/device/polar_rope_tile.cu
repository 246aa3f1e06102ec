#include "kernels/codec/device/polar_rope_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchPolarRope(const TileLaunch& launch) { return launch.Visit<PolarRopeTile>(); }

}  // namespace larder
