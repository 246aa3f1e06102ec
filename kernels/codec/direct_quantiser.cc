#include "kernels/codec/direct_quantiser.h"

#include <algorithm>
#include <array>

namespace larder {
namespace {

using SourcePointers = std::array<const void*, kElementRowsMax>;
using TargetPointers = std::array<void*, kElementRowsMax>;

constexpr uint32_t kPortionRows = 64;  // few enough for the first-level cache, many per call

uint32_t PortionRows(const DirectQuantiser& quantiser, const CodecParams& params, TileShape shape) {
  const uint32_t together = quantiser.RowsTogether(params, shape);
  return std::max(together, kPortionRows / together * together);
}

ElementType TypeOf(Dtype dtype) {
  return dtype == Dtype::kBf16 ? ElementType::kBf16 : ElementType::kFp16;
}

}  // namespace

bool DirectQuantiser::Encode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                             float* rows, std::byte* out) const {
  SourcePointers pointers;
  for (uint32_t i = 0; i < count; ++i) pointers[i] = rows + size_t{i} * context.shape.head_dim;
  return EncodeRows(context, begin, count, {ElementType::kF32, pointers.data()}, out);
}

void DirectQuantiser::Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                             const std::byte* in, float* rows) const {
  TargetPointers pointers;
  for (uint32_t i = 0; i < count; ++i) pointers[i] = rows + size_t{i} * context.shape.head_dim;
  DecodeRows(context, begin, count, in, {ElementType::kF32, pointers.data()});
}

std::optional<uint64_t> DirectCodec::Encode(const TileContext& context, TileShape shape,
                                            const SourceRows& source, Workspace& workspace,
                                            std::byte* out) const {
  if (context.params.transform != 0) {
    return transformed_.Encode(context, shape, source, workspace, out);
  }
  float max_magnitude = 0;
  if (quantiser_.UsesMaxMagnitude()) {
    const uint32_t bits = MaxMagnitudeBits(VectorOpsOf(context.isa), shape, source);
    const bool bf16 = context.dtype == Dtype::kBf16;
    if (bits >= (bf16 ? kBf16Infinity : kFp16Infinity)) return std::nullopt;
    const auto magnitude = static_cast<uint16_t>(bits);
    max_magnitude = bf16 ? FloatOfBf16(magnitude) : FloatOfFp16(magnitude);
  }
  const QuantiserContext quantiser_context{context.params, shape,       max_magnitude,
                                           context.layer,  context.isa, workspace};
  const uint32_t step = PortionRows(quantiser_, context.params, shape);
  SourcePointers pointers;
  for (uint32_t begin = 0; begin < shape.tokens; begin += step) {
    const uint32_t count = std::min(step, shape.tokens - begin);
    for (uint32_t i = 0; i < count; ++i) pointers[i] = source.Row(begin + i);
    if (!quantiser_.EncodeRows(quantiser_context, begin, count,
                               {TypeOf(context.dtype), pointers.data()}, out)) {
      return std::nullopt;
    }
  }
  return BytesMax(context.params, shape);
}

bool DirectCodec::Decode(const TileContext& context, TileShape shape, std::span<const std::byte> in,
                         Workspace& workspace, const TargetRows& target) const {
  if (context.params.transform != 0) {
    return transformed_.Decode(context, shape, in, workspace, target);
  }
  if (in.size() != BytesMax(context.params, shape)) return false;
  const QuantiserContext quantiser_context{context.params, shape,       0.0f,
                                           context.layer,  context.isa, workspace};
  const uint32_t step = PortionRows(quantiser_, context.params, shape);
  TargetPointers pointers;
  for (uint32_t begin = 0; begin < shape.tokens; begin += step) {
    const uint32_t count = std::min(step, shape.tokens - begin);
    for (uint32_t i = 0; i < count; ++i) pointers[i] = target.Row(begin + i);
    quantiser_.DecodeRows(quantiser_context, begin, count, in.data(),
                          {TypeOf(context.dtype), pointers.data()});
  }
  return true;
}

}  // namespace larder
