// The last stage of a fixed-size codec: fp32 rows to scales and packed codes, and back.
// QuantiserCodec below makes a TileCodec of it.
#pragma once

#include "kernels/codec/tile_codec.h"
#include "kernels/codec/tile_transform.h"

namespace larder {

struct QuantiserContext {
  const CodecParams& params;
  TileShape shape;      // of the whole tile
  float max_magnitude;  // of all values of the tile as the quantiser sees them; encode only, and
                        // only when UsesMaxMagnitude()
  uint32_t layer;       // enters the seeds of random matrices
  Isa isa;
  Workspace& workspace;  // `scratch` and `codes` are the quantiser's
};

// Stateless, thread-safe.
class RowQuantiser {
 public:
  virtual ~RowQuantiser() = default;

  // As TileCodec::Accepts; `transform` has been checked already.
  virtual bool Accepts(const CodecParams& params, TileShape shape) const = 0;
  // Bytes of the scales and codes of a tile.
  virtual uint64_t Bytes(const CodecParams& params, TileShape shape) const = 0;
  // Rows that must be encoded (and decoded) together, from a multiple of this on: 1 when each row
  // stands alone. The last portion of a tile may be shorter.
  virtual uint32_t RowsTogether(const CodecParams&, TileShape) const { return 1; }
  virtual bool UsesMaxMagnitude() const { return false; }

  // Rows [begin, begin + count) into their places in the tile's Bytes() at `out`. May overwrite
  // `rows`. Portions come in order, the first begins at row 0. False when a scale is out of range.
  virtual bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
                      std::byte* out) const = 0;
  // Any `in` is accepted: every code has a value.
  virtual void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                      const std::byte* in, float* rows) const = 0;
};

// Transform and quantiser: the encoded tile is [mean, when centred][the quantiser's Bytes()].
class QuantiserCodec final : public TileCodec {
 public:
  // `quantiser` outlives it.
  explicit QuantiserCodec(const RowQuantiser& quantiser) : quantiser_(quantiser) {}

  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t BytesMax(const CodecParams& params, TileShape shape) const override;
  bool FixedSize() const override { return true; }
  std::optional<uint64_t> Encode(const TileContext& context, TileShape shape,
                                 const SourceRows& source, Workspace& workspace,
                                 std::byte* out) const override;
  bool Decode(const TileContext& context, TileShape shape, std::span<const std::byte> in,
              Workspace& workspace, const TargetRows& target) const override;

 private:
  const RowQuantiser& quantiser_;
};

// Whether a transform is one that TileTransform does for this shape: known bits, a rotation of at
// most head_dim channels, at least 16 channels and a multiple of 16.
bool AcceptsTransform(const CodecParams& params, TileShape shape);

// Largest bits & 0x7FFF of a tile's source; kBf16Infinity, kFp16Infinity or more: not all finite.
uint32_t MaxMagnitudeBits(const VectorOps& ops, TileShape shape, const SourceRows& source);

}  // namespace larder
