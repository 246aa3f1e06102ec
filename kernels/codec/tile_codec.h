// A codec as the block codec sees it: one tile (the rows of one head) at a time. Implementations are
// stateless and thread-safe; registry.h lists them.
//
// An encoded tile depends on the tile's values and its TileContext alone, byte for byte, whatever the
// instruction set; a decoded tile on the encoded bytes and the context alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/codec/codec_params.h"
#include "kernels/codec/rope_table.h"
#include "kernels/codec/row_rotation.h"
#include "kernels/codec/tile.h"
#include "kernels/codec/vector_ops.h"
#include "kernels/format/kv_layout.h"

namespace larder {

// What coding depends on besides the values. References outlive the call.
struct TileContext {
  const CodecParams& params;
  Dtype dtype = Dtype::kBf16;  // kBf16 or kFp16
  StreamKind kind = StreamKind::kKey;
  uint32_t layer = 0;               // absolute; enters the seeds
  const RopeTable* rope = nullptr;  // set when params.transform has kTransformUnrope
  uint32_t rope_begin = 0;          // row of `rope` that belongs to the tile's first token
  Isa isa = Isa::kSimd;
};

// Scratch memory of one thread, kept between tiles. Grows to the largest tile that was coded, which
// kFrameBytesMax bounds. Thread-compatible.
struct Workspace {
  std::vector<float> rows;      // of the transform: a chunk of rows, or the tile
  std::vector<float> scratch;   // of the quantiser
  std::vector<uint8_t> codes;   // of the quantiser, unpacked
  std::vector<uint32_t> words;  // tables
  RowRotation rotation;         // of the transform
  RowRotation tiers[2];         // of the quantiser
};

class TileCodec {
 public:
  virtual ~TileCodec() = default;

  // Whether these parameters are ones that this codec writes, for tiles of this shape. Called on
  // untrusted parameters; every other call may rely on it.
  virtual bool Accepts(const CodecParams& params, TileShape shape) const = 0;
  // Bytes of an encoded tile; the most it may take when not FixedSize().
  virtual uint64_t BytesMax(const CodecParams& params, TileShape shape) const = 0;
  virtual bool FixedSize() const = 0;

  // Writes the tile to `out`, at least BytesMax bytes, and returns how many. nullopt when the values
  // can not be coded (not finite, or beyond what the scales hold): the caller stores the stream raw.
  virtual std::optional<uint64_t> Encode(const TileContext& context, TileShape shape,
                                         const SourceRows& source, Workspace& workspace,
                                         std::byte* out) const = 0;
  // Reads what Encode wrote. `in` is untrusted: false when it is not well-formed, and no input makes
  // it read or write outside its arguments.
  virtual bool Decode(const TileContext& context, TileShape shape, std::span<const std::byte> in,
                      Workspace& workspace, const TargetRows& target) const = 0;
};

}  // namespace larder
