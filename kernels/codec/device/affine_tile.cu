#include "kernels/codec/device/affine_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchAffine(const TileLaunch& launch) { return VisitAffine(launch.run, launch); }

}  // namespace larder
