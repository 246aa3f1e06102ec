#include "kernels/codec/symbol_codec.h"

#include <algorithm>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/row_quantiser.h"

namespace larder {
namespace {

// Rows of a portion stay in the first-level cache between the stages.
uint32_t PortionRows(TileShape shape) {
  constexpr uint32_t kPortionBytes = 16 * 1024;
  return std::min(shape.tokens, std::max<uint32_t>(1, kPortionBytes / (shape.head_dim * 4)));
}

}  // namespace

bool SymbolCodec::Accepts(const CodecParams& params, TileShape shape) const {
  return AcceptsTransform(params, shape) && quantiser_.Accepts(params, shape);
}

uint64_t SymbolCodec::BytesMax(const CodecParams& params, TileShape shape) const {
  return TileTransform::MeanBytes(params, shape) + quantiser_.SideBytes(params, shape) +
         RansBytesMax(shape.elements());
}

bool SymbolCodec::EncodeRows(const TileContext& context, const SymbolContext& symbol_context,
                             const SourceRows& source, std::byte* mean, std::byte* side) const {
  const TileShape shape = symbol_context.shape;
  const size_t dim = shape.head_dim;
  Workspace& workspace = symbol_context.workspace;
  const TileTransform transform(context, shape, workspace);
  const bool whole = transform.needs_whole_tile();
  const uint32_t step = whole ? shape.tokens : PortionRows(shape);
  workspace.rows.resize(std::max(workspace.rows.size(), step * dim));
  float* rows = workspace.rows.data();
  for (uint32_t begin = 0; begin < shape.tokens; begin += step) {
    const uint32_t count = std::min(step, shape.tokens - begin);
    transform.Load(source, begin, count, rows);
    if (whole && !transform.Centre(rows, mean)) return false;
    transform.Rotate(rows, count);
    for (uint32_t i = 0; i < count; ++i) {
      uint8_t* symbols = workspace.codes.data() + (begin + i) * dim;
      if (!quantiser_.EncodeRow(symbol_context, begin + i, rows + i * dim, symbols, side)) {
        return false;
      }
    }
  }
  return true;
}

std::optional<uint64_t> SymbolCodec::Encode(const TileContext& context, TileShape shape,
                                            const SourceRows& source, Workspace& workspace,
                                            std::byte* out) const {
  const uint32_t max_bits = MaxMagnitudeBits(VectorOpsOf(context.isa), shape, source);
  const bool bf16 = context.dtype == Dtype::kBf16;
  if (max_bits >= (bf16 ? kBf16Infinity : kFp16Infinity)) return std::nullopt;
  const SymbolContext symbol_context{context.params, shape, context.isa, workspace};
  workspace.codes.resize(std::max<size_t>(workspace.codes.size(), shape.elements()));
  std::byte* side = out + TileTransform::MeanBytes(context.params, shape);
  if (!EncodeRows(context, symbol_context, source, out, side)) return std::nullopt;
  const uint8_t* symbols = workspace.codes.data();
  quantiser_.FinishSide(symbol_context, symbols, side);
  RansTables tables;
  if (!quantiser_.Tables(symbol_context, side, &tables)) return std::nullopt;
  std::byte* stream = side + quantiser_.SideBytes(context.params, shape);
  const size_t stream_bytes =
      RansOpsOf(context.isa).encode(tables, symbols, shape.elements(), stream);
  return static_cast<uint64_t>(stream - out) + stream_bytes;
}

bool SymbolCodec::Decode(const TileContext& context, TileShape shape, std::span<const std::byte> in,
                         Workspace& workspace, const TargetRows& target) const {
  const uint64_t mean_bytes = TileTransform::MeanBytes(context.params, shape);
  const uint64_t stream_begin = mean_bytes + quantiser_.SideBytes(context.params, shape);
  if (in.size() < stream_begin) return false;
  const std::byte* side = in.data() + mean_bytes;
  const SymbolContext symbol_context{context.params, shape, context.isa, workspace};
  workspace.codes.resize(std::max<size_t>(workspace.codes.size(), shape.elements()));
  uint8_t* symbols = workspace.codes.data();
  RansTables tables;
  if (!quantiser_.Tables(symbol_context, side, &tables) ||
      !RansOpsOf(context.isa).decode(tables, in.subspan(stream_begin), symbols, shape.elements())) {
    return false;
  }
  const TileTransform transform(context, shape, workspace);
  const size_t dim = shape.head_dim;
  const uint32_t step = PortionRows(shape);
  workspace.rows.resize(std::max(workspace.rows.size(), step * dim));
  float* rows = workspace.rows.data();
  for (uint32_t begin = 0; begin < shape.tokens; begin += step) {
    const uint32_t count = std::min(step, shape.tokens - begin);
    for (uint32_t i = 0; i < count; ++i) {
      quantiser_.DecodeRow(symbol_context, begin + i, symbols + (begin + i) * dim, side,
                           rows + i * dim);
    }
    transform.Restore(rows, begin, count, in.data(), target);
  }
  return true;
}

}  // namespace larder
