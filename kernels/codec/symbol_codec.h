// Transform, symbols and rANS: the variable-size codecs that round.
//
// The encoded tile is [mean, when centred][the quantiser's SideBytes()][rANS stream of T x D symbols,
// token by token].
#pragma once

#include "kernels/codec/rans.h"
#include "kernels/codec/tile_codec.h"
#include "kernels/codec/tile_transform.h"

namespace larder {

struct SymbolContext {
  const CodecParams& params;
  TileShape shape;  // of the whole tile
  Isa isa;
  Workspace& workspace;  // `scratch` is the quantiser's
};

// Rows to symbols and side values, and back. Stateless, thread-safe.
class SymbolQuantiser {
 public:
  virtual ~SymbolQuantiser() = default;

  // As TileCodec::Accepts; `transform` has been checked for known bits already.
  virtual bool Accepts(const CodecParams& params, TileShape shape) const = 0;
  // Bytes of scales and the like; a multiple of 4.
  virtual uint64_t SideBytes(const CodecParams& params, TileShape shape) const = 0;

  // Row `row` to head_dim symbols and its side values. False when its scale is out of range.
  virtual bool EncodeRow(const SymbolContext& context, uint32_t row, const float* values,
                         uint8_t* symbols, std::byte* side) const = 0;
  // What depends on all symbols of the tile. Zeroes the padding of the side values.
  virtual void FinishSide(const SymbolContext& context, const uint8_t* symbols,
                          std::byte* side) const = 0;
  // The tables of the tile's symbols; false when the side values are not well-formed. May keep `table_of`
  // in workspace.words.
  virtual bool Tables(const SymbolContext& context, const std::byte* side,
                      RansTables* tables) const = 0;
  virtual void DecodeRow(const SymbolContext& context, uint32_t row, const uint8_t* symbols,
                         const std::byte* side, float* values) const = 0;
};

class SymbolCodec final : public TileCodec {
 public:
  // `quantiser` outlives it.
  explicit SymbolCodec(const SymbolQuantiser& quantiser) : quantiser_(quantiser) {}

  bool Accepts(const CodecParams& params, TileShape shape) const override;
  uint64_t BytesMax(const CodecParams& params, TileShape shape) const override;
  bool FixedSize() const override { return false; }
  std::optional<uint64_t> Encode(const TileContext& context, TileShape shape,
                                 const SourceRows& source, Workspace& workspace,
                                 std::byte* out) const override;
  bool Decode(const TileContext& context, TileShape shape, std::span<const std::byte> in,
              Workspace& workspace, const TargetRows& target) const override;

 private:
  bool EncodeRows(const TileContext& context, const SymbolContext& symbol_context,
                  const SourceRows& source, std::byte* mean, std::byte* side) const;

  const SymbolQuantiser& quantiser_;
};

}  // namespace larder
