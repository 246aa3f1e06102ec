#include "kernels/codec/device/lossless_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchLossless(const TileLaunch& launch) { return launch.Visit<LosslessTile>(); }

}  // namespace larder
