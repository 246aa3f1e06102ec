#include "kernels/codec/device/ggml_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchGgml(const TileLaunch& launch) { return VisitGgml(launch.run, launch); }

}  // namespace larder
