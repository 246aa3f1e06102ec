// Host side of a TileRun: what of it follows from its codec, and the tables that its kernels read.
//
//   RunSetup setup(run, token_begin);            // run: id, params, shape, dtype, layers, heads, blocks
//   copy setup.image() to `device` memory;       // once per (codec, shape, position)
//   setup.Attach(device, &run);                  // then rows, tiles, refused
//   EncodeTiles(run, stream);
//
// Uses the host's codecs, so that sizes and acceptance have one truth. Immutable after construction: thread-safe.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/codec/device/tile_run.h"

namespace larder {

class RunSetup {
 public:
  // `token_begin` is the position of the run's first row (behind the sinks). Check holds() before anything else.
  RunSetup(const TileRun& run, uint64_t token_begin);

  // Whether device code has this codec, and the codec accepts these parameters and this shape.
  bool holds() const { return tile_bytes_ > 0; }
  // Bytes of an encoded tile, without the zeros behind it.
  uint32_t tile_bytes() const { return tile_bytes_; }
  // RoPE angles and permutations; empty when the codec needs none.
  std::span<const std::byte> image() const { return image_; }
  // Sets what the codec says, with the tables' copy at `image`, aligned to 16 bytes.
  void Attach(const void* image, TileRun* run) const;

 private:
  const bool turns_;
  const bool permutes_;
  uint32_t tile_bytes_ = 0;
  size_t sines_at_ = 0;
  size_t places_at_ = 0;
  std::vector<std::byte> image_;
};

// Whether a prepared run is one that kernels may be launched with: shape, pointers, alignment and strides. `encode` also
// needs run.refused.
bool RunHolds(const TileRun& run, bool encode);

}  // namespace larder
