#include "kernels/codec/turbo_quantiser.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/codec/codebook_ops.h"
#include "kernels/codec/number_formats.h"
#include "kernels/codec/packing.h"
#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

constexpr uint32_t kRowsAtOnce = 16;  // their codes stay in the first-level cache

// Codes of a row with its padding.
size_t RowCodes(const CodecParams& params, TileShape shape) {
  return params.bits == 3 ? (size_t{shape.head_dim} + 31) / 32 * 32 : shape.head_dim;
}

uint64_t ScaleBytes(TileShape shape) { return AlignTile(uint64_t{shape.tokens} * 2); }

// <c, c> of each row; overwrites the rows' values.
void CodeEnergies(Isa isa, const CodeRows& rows, const Codebook& book, float* energies) {
  std::array<float, kRowsAtOnce> ones;
  ones.fill(1.0f);
  CodebookOpsOf(isa).decode(rows, book, ones.data());
  for (size_t i = 0; i < rows.count; ++i) {
    const float* values = rows.rows + i * rows.dim;
    energies[i] = VectorOpsOf(isa).dot(values, values, rows.dim);
  }
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
  codes.resize(std::max(codes.size(), kRowsAtOnce * row_codes));
  const PackingOps& packing = PackingOpsOf(context.isa);
  for (uint32_t done = 0; done < count; done += kRowsAtOnce) {
    const CodeRows part{rows + done * dim, codes.data(),
                        std::min<size_t>(kRowsAtOnce, count - done), dim, row_codes};
    std::array<CodedRow, kRowsAtOnce> coded;
    if (row_codes > dim) std::fill_n(codes.begin(), part.count * row_codes, uint8_t{0});
    ops.encode(part, book, coded.data());
    std::array<float, kRowsAtOnce> code_energies{};
    if (params.variant == kTurboNormed) CodeEnergies(context.isa, part, book, code_energies.data());
    for (size_t i = 0; i < part.count; ++i) {
      const float scale = TurboScaleOf(coded[i], params.variant, code_energies[i]);
      if (!(scale <= kFp16Max)) return false;
      const uint16_t stored = Fp16OfFloat(scale);
      std::memcpy(out + (begin + done + i) * size_t{2}, &stored, 2);
    }
    packing.pack(codes.data(), params.bits,
                 reinterpret_cast<uint8_t*>(out) + scale_bytes +
                     PackedBytes((begin + done) * row_codes, params.bits),
                 part.count * row_codes);
  }
  return true;
}

void TurboQuantiser::Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                            const std::byte* in, float* rows) const {
  const CodecParams& params = context.params;
  const size_t dim = context.shape.head_dim, row_codes = RowCodes(params, context.shape);
  const CodebookOps& ops = CodebookOpsOf(context.isa);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), kRowsAtOnce * row_codes));
  const PackingOps& packing = PackingOpsOf(context.isa);
  for (uint32_t done = 0; done < count; done += kRowsAtOnce) {
    const CodeRows part{rows + done * dim, codes.data(),
                        std::min<size_t>(kRowsAtOnce, count - done), dim, row_codes};
    packing.unpack(reinterpret_cast<const uint8_t*>(in) + ScaleBytes(context.shape) +
                       PackedBytes((begin + done) * row_codes, params.bits),
                   params.bits, codes.data(), part.count * row_codes);
    std::array<float, kRowsAtOnce> scales;
    for (size_t i = 0; i < part.count; ++i) {
      uint16_t stored;
      std::memcpy(&stored, in + (begin + done + i) * size_t{2}, 2);
      scales[i] = FloatOfFp16(stored);
    }
    ops.decode(part, kLloydMax[params.bits - 1], scales.data());
  }
}

}  // namespace larder
