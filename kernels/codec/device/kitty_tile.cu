#include "kernels/codec/device/kitty_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchKitty(const TileLaunch& launch) { return launch.Visit<KittyTile>(); }

}  // namespace larder
