// Every quantiser that has a device twin, by a run's codec.
#pragma once

#include "kernels/codec/device/affine_tile.cuh"
#include "kernels/codec/device/fp8_tile.cuh"
#include "kernels/codec/device/ggml_tile.cuh"
#include "kernels/codec/device/kitty_tile.cuh"
#include "kernels/codec/device/lossless_tile.cuh"
#include "kernels/codec/device/polar_rope_tile.cuh"
#include "kernels/codec/device/polar_tile.cuh"
#include "kernels/codec/device/sketch_tile.cuh"
#include "kernels/codec/device/symbol_tile.cuh"
#include "kernels/codec/device/tiered_tile.cuh"
#include "kernels/codec/device/turbo_tile.cuh"

namespace larder {

// Calls visit.Visit<Quantiser>() with the run's quantiser. The run was prepared by a RunSetup that holds.
template <typename Visitor>
auto VisitQuantiser(const TileRun& run, const Visitor& visit) {
  switch (run.id) {
    case CodecId::kGgml:
      return VisitGgml(run, visit);
    case CodecId::kAffine:
      return VisitAffine(run, visit);
    case CodecId::kKitty:
      return visit.template Visit<KittyTile>();
    case CodecId::kLossless:
      return visit.template Visit<LosslessTile>();
    case CodecId::kUniform:
    case CodecId::kCacheGen:
      return VisitSymbols(run, visit);
    case CodecId::kTurboProd:
    case CodecId::kQjl:
      return VisitSketch(run, visit);
    case CodecId::kPolar:
      return VisitPolar(run, visit);
    case CodecId::kPolarRope:
      return visit.template Visit<PolarRopeTile>();
    case CodecId::kTurboTiered:
      return VisitTiered(run, visit);
    case CodecId::kTurbo:
      return VisitTurbo(run, visit);
    default:
      return VisitFp8(run, visit);
  }
}

}  // namespace larder
