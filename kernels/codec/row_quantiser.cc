#include "kernels/codec/row_quantiser.h"

#include <algorithm>

#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

// Rows of a portion stay in the first-level cache between the stages.
constexpr uint32_t kPortionBytes = 16 * 1024;

uint32_t PortionRows(const RowQuantiser& quantiser, const CodecParams& params, TileShape shape) {
  const uint32_t together = quantiser.RowsTogether(params, shape);
  const uint32_t fitting = std::max<uint32_t>(1, kPortionBytes / (shape.head_dim * 4));
  return std::min(shape.tokens, std::max(together, fitting / together * together));
}

}  // namespace

bool AcceptsTransform(const CodecParams& params, TileShape shape) {
  if ((params.transform & ~kTransformAll) != 0) return false;
  if (shape.head_dim < 16 || shape.head_dim % 16 != 0 || shape.tokens == 0) return false;
  if ((params.transform & kTransformHaar) != 0) {
    if ((params.transform & kTransformRotate) != 0 || shape.head_dim > kHaarSideMax) return false;
  }
  if ((params.transform & kTransformUnrope) == 0) return true;
  return params.rope_rotary_dim <= shape.head_dim;
}

uint32_t MaxMagnitudeBits(const VectorOps& ops, TileShape shape, const SourceRows& source) {
  const size_t dim = shape.head_dim;
  if (source.pages == nullptr && source.token_stride == static_cast<ptrdiff_t>(dim * 2)) {
    return ops.max_magnitude_bits16(reinterpret_cast<const uint16_t*>(source.Row(0)),
                                    dim * shape.tokens);
  }
  uint32_t max = 0;
  for (uint32_t token = 0; token < shape.tokens; ++token) {
    const auto* row = reinterpret_cast<const uint16_t*>(source.Row(token));
    max = std::max(max, ops.max_magnitude_bits16(row, dim));
  }
  return max;
}

bool QuantiserCodec::Accepts(const CodecParams& params, TileShape shape) const {
  return AcceptsTransform(params, shape) && quantiser_.Accepts(params, shape);
}

uint64_t QuantiserCodec::BytesMax(const CodecParams& params, TileShape shape) const {
  return TileTransform::MeanBytes(params, shape) + quantiser_.Bytes(params, shape);
}

std::optional<uint64_t> QuantiserCodec::Encode(const TileContext& context, TileShape shape,
                                               const SourceRows& source, Workspace& workspace,
                                               std::byte* out) const {
  const VectorOps& ops = VectorOpsOf(context.isa);
  const uint32_t max_bits = MaxMagnitudeBits(ops, shape, source);
  const bool bf16 = context.dtype == Dtype::kBf16;
  if (max_bits >= (bf16 ? kBf16Infinity : kFp16Infinity)) return std::nullopt;
  const TileTransform transform(context, shape, workspace);
  const uint64_t mean_bytes = TileTransform::MeanBytes(context.params, shape);
  const bool whole =
      transform.needs_whole_tile() || (quantiser_.UsesMaxMagnitude() && !transform.is_identity());
  const uint32_t portion = whole ? shape.tokens : PortionRows(quantiser_, context.params, shape);
  workspace.rows.resize(std::max<size_t>(workspace.rows.size(), size_t{portion} * shape.head_dim));
  float* rows = workspace.rows.data();
  float max_magnitude = bf16 ? FloatOfBf16(static_cast<uint16_t>(max_bits))
                             : FloatOfFp16(static_cast<uint16_t>(max_bits));
  if (whole) {
    transform.Load(source, 0, shape.tokens, rows);
    if (mean_bytes > 0 && !transform.Centre(rows, out)) return std::nullopt;
    transform.Rotate(rows, shape.tokens);
    if (quantiser_.UsesMaxMagnitude()) max_magnitude = ops.max_magnitude(rows, shape.elements());
  }
  const QuantiserContext quantiser_context{context.params, shape,       max_magnitude,
                                           context.layer,  context.isa, workspace};
  const uint32_t step = whole ? PortionRows(quantiser_, context.params, shape) : portion;
  for (uint32_t begin = 0; begin < shape.tokens; begin += step) {
    const uint32_t count = std::min(step, shape.tokens - begin);
    float* part = rows + (whole ? size_t{begin} * shape.head_dim : 0);
    if (!whole) {
      transform.Load(source, begin, count, part);
      transform.Rotate(part, count);
    }
    if (!quantiser_.Encode(quantiser_context, begin, count, part, out + mean_bytes)) {
      return std::nullopt;
    }
  }
  return BytesMax(context.params, shape);
}

bool QuantiserCodec::Decode(const TileContext& context, TileShape shape,
                            std::span<const std::byte> in, Workspace& workspace,
                            const TargetRows& target) const {
  if (in.size() != BytesMax(context.params, shape)) return false;
  const TileTransform transform(context, shape, workspace);
  const std::byte* codes = in.data() + TileTransform::MeanBytes(context.params, shape);
  const uint32_t step = PortionRows(quantiser_, context.params, shape);
  workspace.rows.resize(std::max<size_t>(workspace.rows.size(), size_t{step} * shape.head_dim));
  const QuantiserContext quantiser_context{context.params, shape,       0.0f,
                                           context.layer,  context.isa, workspace};
  for (uint32_t begin = 0; begin < shape.tokens; begin += step) {
    const uint32_t count = std::min(step, shape.tokens - begin);
    quantiser_.Decode(quantiser_context, begin, count, codes, workspace.rows.data());
    transform.Restore(workspace.rows.data(), begin, count, in.data(), target);
  }
  return true;
}

}  // namespace larder
