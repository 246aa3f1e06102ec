// Host side of a TileRun: what of it follows from its codec, and the tables that its kernels read.
//
//   RunSetup setup(run, token_begin);            // run: id, params, shape, dtype, layers, heads, blocks
//   copy setup.image() to `device` memory;       // once per (codec, shape, position)
//   setup.Attach(device, &run);                  // then rows, tiles, refused
//   EncodeTiles(run, stream);
//
// Uses the host's codecs, so that sizes and acceptance have one truth. Immutable after construction: thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "kernels/codec/device/tile_run.h"
#include "kernels/codec/symbol_level.h"

namespace larder {

class RunSetup {
 public:
  // `token_begin` is the position of the run's first row (behind the sinks). Check holds() before anything else.
  RunSetup(const TileRun& run, uint64_t token_begin);

  // Whether device code has this codec, and the codec accepts these parameters and this shape.
  bool holds() const { return tile_bytes_ > 0; }
  // Bytes of an encoded tile, the most it may take when the size varies, without the zeros behind it.
  uint32_t tile_bytes() const { return tile_bytes_; }
  // Scratch of each tile for an encoder; 0 when the codec needs none.
  uint32_t scratch_bytes() const { return scratch_bytes_; }
  // RoPE angles, permutations, tables of symbols; empty when the codec needs none.
  std::span<const std::byte> image() const { return image_; }
  // Sets what the codec says, with the tables' copy at `image`, aligned to 16 bytes.
  void Attach(const void* image, TileRun* run) const;

 private:
  const bool turns_;
  const bool permutes_;
  void AddSymbols(const SymbolLevel& level);
  uint64_t AddTable(std::span<const std::byte> table);
  // Places of `dim` channels by stream, of seeds made of the layer's.
  uint64_t AddPlaces(const TileRun& run, uint32_t dim,
                     const std::function<uint64_t(uint64_t)>& seed_of_layer);

  uint32_t tile_bytes_ = 0;
  uint32_t scratch_bytes_ = 0;
  SymbolLevel level_;
  // Offsets in the image.
  struct Matrices {
    uint64_t forward = 0, back = 0;
    bool there = false;
  };
  Matrices rotation_, sketch_;
  std::array<std::optional<uint64_t>, 2> tier_places_at_;
  struct SymbolTables {
    uint64_t values, slots, ranges, reciprocals, means, lengths;
  } symbols_at_{};
  size_t sines_at_ = 0;
  size_t places_at_ = 0;
  std::vector<std::byte> image_;
};

// Whether a prepared run is one that kernels may be launched with: shape, pointers, alignment and strides. `encode` also
// needs run.refused.
bool RunHolds(const TileRun& run, bool encode);

}  // namespace larder
