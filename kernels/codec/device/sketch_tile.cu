#include "kernels/codec/device/sketch_tile.cuh"

#include "kernels/codec/device/tile_launch.cuh"

namespace larder {

cudaError_t LaunchSketch(const TileLaunch& launch) { return VisitSketch(launch.run, launch); }

}  // namespace larder
