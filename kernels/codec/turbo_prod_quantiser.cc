#include "kernels/codec/turbo_prod_quantiser.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/codec/codebook_ops.h"
#include "kernels/codec/gaussian_matrix.h"
#include "kernels/codec/number_formats.h"
#include "kernels/codec/packing.h"
#include "kernels/codec/sketch_ops.h"
#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

constexpr uint32_t kRowsAtOnce = 16;
constexpr uint32_t kDimMax = 576;  // a product costs D^2 operations
constexpr float kHalfPi = 1.57079637f;

// Where the parts of a tile begin.
struct Parts {
  unsigned code_bits;
  size_t row_codes;  // with their padding
  size_t row_code_bytes;
  size_t row_sketch_bytes;
  uint64_t residuals;
  uint64_t codes;
  uint64_t sketches;
  uint64_t bytes;
};

Parts PartsOf(const CodecParams& params, TileShape shape) {
  Parts parts{};
  parts.code_bits = params.bits - 1u;
  parts.row_codes = parts.code_bits == 3 ? (size_t{shape.head_dim} + 31) / 32 * 32 : shape.head_dim;
  parts.row_code_bytes = PackedBytes(parts.row_codes, parts.code_bits);
  parts.row_sketch_bytes = shape.head_dim / 8;
  parts.residuals = uint64_t{shape.tokens} * 2;
  parts.codes = AlignTile(uint64_t{shape.tokens} * 4);
  parts.sketches = parts.codes + shape.tokens * parts.row_code_bytes;
  parts.bytes = parts.sketches + shape.tokens * parts.row_sketch_bytes;
  return parts;
}

// Writes fp16(value) as number `index`; false beyond fp16. `value` becomes what was stored.
bool StoreScale(std::byte* out, size_t index, float& value) {
  if (!(value <= kFp16Max)) return false;
  const uint16_t stored = Fp16OfFloat(value);
  std::memcpy(out + index * 2, &stored, 2);
  value = FloatOfFp16(stored);
  return true;
}

float LoadScale(const std::byte* in, size_t index) {
  uint16_t stored;
  std::memcpy(&stored, in + index * 2, 2);
  return FloatOfFp16(stored);
}

}  // namespace

bool TurboProdQuantiser::Accepts(const CodecParams& params, TileShape shape) const {
  return params.bits >= 2 && params.bits <= 4 && params.variant == 0 && params.group == 0 &&
         params.boosted == 0 && shape.head_dim <= kDimMax;
}

uint64_t TurboProdQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  return PartsOf(params, shape).bytes;
}

bool TurboProdQuantiser::Encode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                float* rows, std::byte* out) const {
  const Parts parts = PartsOf(context.params, context.shape);
  const size_t dim = context.shape.head_dim;
  if (begin == 0) {
    const uint64_t used = uint64_t{context.shape.tokens} * 4;
    std::memset(out + used, 0, parts.codes - used);
  }
  const auto matrix =
      FindGaussianMatrix(context.params.seed, context.shape.head_dim, context.shape.head_dim);
  const Codebook& book = kLloydMax[parts.code_bits - 1];
  const CodebookOps& codebook = CodebookOpsOf(context.isa);
  const SketchOps& sketch = SketchOpsOf(context.isa);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), kRowsAtOnce * parts.row_codes));
  std::vector<float>& scratch = context.workspace.scratch;
  scratch.resize(std::max(scratch.size(), kRowsAtOnce * dim));
  auto* bytes = reinterpret_cast<uint8_t*>(out);
  for (uint32_t done = 0; done < count; done += kRowsAtOnce) {
    const size_t first = begin + done, some = std::min<size_t>(kRowsAtOnce, count - done);
    float* values = rows + done * dim;
    std::array<CodedRow, kRowsAtOnce> coded;
    std::array<float, kRowsAtOnce> norms{};
    std::fill_n(codes.begin(), some * parts.row_codes, uint8_t{0});
    codebook.encode({values, codes.data(), some, dim, parts.row_codes}, book, coded.data());
    for (size_t i = 0; i < some; ++i) {
      norms[i] = coded[i].rms > 0 ? coded[i].rms : coded[i].energy;  // 0, or not a number
      if (!StoreScale(out, first + i, norms[i])) return false;
    }
    codebook.decode({scratch.data(), codes.data(), some, dim, parts.row_codes}, book, norms.data());
    for (size_t i = 0; i < some * dim; ++i) values[i] -= scratch[i];
    for (size_t i = 0; i < some; ++i) {
      const float* residual = values + i * dim;
      const float energy = VectorOpsOf(context.isa).dot(residual, residual, dim);
      float rms = std::sqrt(energy / static_cast<float>(dim));
      if (!StoreScale(out + parts.residuals, first + i, rms)) return false;
    }
    sketch.multiply({matrix->transposed(), dim, dim, values, scratch.data(), some});
    PackingOpsOf(context.isa)
        .pack(codes.data(), parts.code_bits, bytes + parts.codes + first * parts.row_code_bytes,
              some * parts.row_codes);
    sketch.signs(scratch.data(), bytes + parts.sketches + first * parts.row_sketch_bytes,
                 some * dim);
  }
  return true;
}

void TurboProdQuantiser::Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                const std::byte* in, float* rows) const {
  const Parts parts = PartsOf(context.params, context.shape);
  const size_t dim = context.shape.head_dim;
  const auto matrix =
      FindGaussianMatrix(context.params.seed, context.shape.head_dim, context.shape.head_dim);
  const float factor = std::sqrt(kHalfPi / static_cast<float>(dim));
  const SketchOps& sketch = SketchOpsOf(context.isa);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), kRowsAtOnce * parts.row_codes));
  std::vector<float>& scratch = context.workspace.scratch;
  scratch.resize(std::max(scratch.size(), 2 * kRowsAtOnce * dim));
  float* signs = scratch.data();
  float* sums = signs + kRowsAtOnce * dim;
  const auto* bytes = reinterpret_cast<const uint8_t*>(in);
  for (uint32_t done = 0; done < count; done += kRowsAtOnce) {
    const size_t first = begin + done, some = std::min<size_t>(kRowsAtOnce, count - done);
    float* values = rows + done * dim;
    std::array<float, kRowsAtOnce> norms{};
    for (size_t i = 0; i < some; ++i) norms[i] = LoadScale(in, first + i);
    PackingOpsOf(context.isa)
        .unpack(bytes + parts.codes + first * parts.row_code_bytes, parts.code_bits, codes.data(),
                some * parts.row_codes);
    CodebookOpsOf(context.isa)
        .decode({values, codes.data(), some, dim, parts.row_codes}, kLloydMax[parts.code_bits - 1],
                norms.data());
    sketch.unsigns(bytes + parts.sketches + first * parts.row_sketch_bytes, signs, some * dim);
    sketch.multiply({matrix->values(), dim, dim, signs, sums, some});
    for (size_t i = 0; i < some; ++i) {
      const float scale = LoadScale(in + parts.residuals, first + i) * factor;
      for (size_t c = 0; c < dim; ++c) values[i * dim + c] += scale * sums[i * dim + c];
    }
  }
}

}  // namespace larder
