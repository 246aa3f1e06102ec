#include "kernels/codec/turbo_quantiser.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/codec/codebook_ops.h"
#include "kernels/codec/number_formats.h"
#include "kernels/codec/packing.h"
#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

// Codes of a row with its padding.
size_t RowCodes(const CodecParams& params, TileShape shape) {
  return params.bits == 3 ? (size_t{shape.head_dim} + 31) / 32 * 32 : shape.head_dim;
}

uint64_t ScaleBytes(TileShape shape) { return AlignTile(uint64_t{shape.tokens} * 2); }

// Not finite, or beyond fp16, when it can not be stored.
float ScaleOf(const CodedRow& coded, uint8_t variant, float code_energy) {
  if (!(coded.rms > 0)) return coded.energy;  // 0, or not a number
  if (variant == kTurboPlain) return coded.rms;
  if (variant == kTurboNormed) return std::sqrt(coded.energy / code_energy);
  return coded.energy / coded.product;
}

}  // namespace

bool TurboQuantiser::Accepts(const CodecParams& params, TileShape) const {
  return params.bits >= 1 && params.bits <= 4 && params.variant <= kTurboNormed &&
         params.group == 0 && params.boosted == 0;
}

uint64_t TurboQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  return ScaleBytes(shape) + shape.tokens * PackedBytes(RowCodes(params, shape), params.bits);
}

bool TurboQuantiser::Encode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                            float* rows, std::byte* out) const {
  const CodecParams& params = context.params;
  const size_t dim = context.shape.head_dim, row_codes = RowCodes(params, context.shape);
  const Codebook& book = kLloydMax[params.bits - 1];
  const CodebookOps& ops = CodebookOpsOf(context.isa);
  const uint64_t scale_bytes = ScaleBytes(context.shape);
  if (begin == 0) {
    const uint64_t used = uint64_t{context.shape.tokens} * 2;
    std::memset(out + used, 0, scale_bytes - used);
  }
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), count * row_codes));
  for (uint32_t i = 0; i < count; ++i) {
    const float* row = rows + i * dim;
    uint8_t* row_out = codes.data() + i * row_codes;
    const CodedRow coded = ops.encode(row, dim, book, row_out);
    std::fill(row_out + dim, row_out + row_codes, uint8_t{0});
    float code_energy = 0;
    if (params.variant == kTurboNormed) {
      float* values = rows + i * dim;  // the row is not needed any more
      ops.decode(row_out, dim, book, 1.0f, values);
      code_energy = VectorOpsOf(context.isa).dot(values, values, dim);
    }
    const float scale = ScaleOf(coded, params.variant, code_energy);
    if (!(scale <= kFp16Max)) return false;
    const uint16_t stored = Fp16OfFloat(scale);
    std::memcpy(out + (begin + i) * size_t{2}, &stored, 2);
  }
  PackingOpsOf(context.isa)
      .pack(codes.data(), params.bits,
            reinterpret_cast<uint8_t*>(out) + scale_bytes +
                PackedBytes(begin * row_codes, params.bits),
            count * row_codes);
  return true;
}

void TurboQuantiser::Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                            const std::byte* in, float* rows) const {
  const CodecParams& params = context.params;
  const size_t dim = context.shape.head_dim, row_codes = RowCodes(params, context.shape);
  const Codebook& book = kLloydMax[params.bits - 1];
  const CodebookOps& ops = CodebookOpsOf(context.isa);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), count * row_codes));
  PackingOpsOf(context.isa)
      .unpack(reinterpret_cast<const uint8_t*>(in) + ScaleBytes(context.shape) +
                  PackedBytes(begin * row_codes, params.bits),
              params.bits, codes.data(), count * row_codes);
  for (uint32_t i = 0; i < count; ++i) {
    uint16_t stored;
    std::memcpy(&stored, in + (begin + i) * size_t{2}, 2);
    ops.decode(codes.data() + i * row_codes, dim, book, FloatOfFp16(stored), rows + i * dim);
  }
}

}  // namespace larder
