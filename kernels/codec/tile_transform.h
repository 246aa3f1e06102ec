// The stages before the quantiser, and back: load as fp32, un-rotate RoPE, subtract the mean of each
// channel, rotate by seeded signs and a Hadamard transform.
//
// Rotation of a row of D values: signs from SplitMix64 of (seed, layer), a power-of-two Hadamard
// transform H_B on each part of D's binary decomposition, largest first (96 = 64 + 32), scaled to
// keep every coordinate's variance equal: y = sqrt(D / B) H_B (signs x). So |y|^2 = D |x|^2, and for
// Gaussian-like rows y / |x| has unit variance. When D is not a power of two the channels are
// permuted first, seeded as well, so that parts share their energy.
// Mean: fp16 per channel, the sum over rows in order, divided by their count; subtracted as stored.
// Exact arithmetic of vector_ops.h: equal bits for every Isa. Thread-compatible: one per tile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/rotation_ops.h"
#include "kernels/codec/seeded_word.h"
#include "kernels/codec/tile_codec.h"

namespace larder {

class TileTransform {
 public:
  // `context` and `workspace` outlive it. Uses workspace.words and .factors.
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
  void PrepareRotation();
  void RotateBack(float* rows, uint32_t count) const;
  void Permute(float* row, bool back) const;

  const TileContext& context_;
  const TileShape shape_;
  Workspace& workspace_;
  const VectorOps& ops_;
  const RotationOps& rotation_;
  const bool centre_;
  const bool rotate_;
  const float* factors_ = nullptr;         // 1 or -1 per channel
  const float* factors_back_ = nullptr;    // the same over the length that the rotation gives
  const uint32_t* permutation_ = nullptr;  // new channel -> old channel; null for powers of two
};

}  // namespace larder
