// The stages before the quantiser, and back: load as fp32, un-rotate RoPE, subtract the mean of each
// channel, rotate.
//
// Rotation: row_rotation.h's, Hadamard seeded by (seed, layer) or Haar by the seed.
// Mean: fp16 per channel, the sum over rows in order, divided by their count; subtracted as stored.
// Exact arithmetic of vector_ops.h: equal bits for every Isa. Thread-compatible: one per tile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/tile_codec.h"

namespace larder {

class TileTransform {
 public:
  // `context` and `workspace` outlive it. Uses workspace.rotation and, for means, .scratch.
  TileTransform(const TileContext& context, TileShape shape, Workspace& workspace);

  // Bytes of the stored mean, at the start of an encoded tile; 0 without centring.
  static uint64_t MeanBytes(const CodecParams& params, TileShape shape) {
    return (params.transform & kTransformCentre) != 0 ? uint64_t{shape.head_dim} * 2 : 0;
  }
  // The mean needs all rows at once; without it rows may be transformed in any portions.
  bool needs_whole_tile() const { return centre_; }
  // Whether rows reach the quantiser as they were loaded.
  bool is_identity() const { return !centre_ && !rotate_ && context_.rope == nullptr; }

  // Rows [begin, begin + count) of the source as fp32, turned back to position 0 if so asked.
  void Load(const SourceRows& source, uint32_t begin, uint32_t count, float* rows) const;
  // Subtracts the mean of all rows of the tile and writes it; false when a mean is beyond fp16.
  bool Centre(float* rows, std::byte* mean) const;
  void Rotate(float* rows, uint32_t count) const;
  // Undoes all of it for rows [begin, begin + count), overwriting `rows`, and stores them.
  void Restore(float* rows, uint32_t begin, uint32_t count, const std::byte* mean,
               const TargetRows& target) const;

 private:
  // The common case, in which rows are turned as they are loaded and stored.
  bool TurnsWholeBf16Rows() const;

  const TileContext& context_;
  const TileShape shape_;
  Workspace& workspace_;
  const VectorOps& ops_;
  const bool centre_;
  const bool rotate_;
};

}  // namespace larder
