#include "kernels/codec/device/symbol_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchSymbols(const TileLaunch& launch) { return VisitSymbols(launch.run, launch); }

}  // namespace larder
