#include "kernels/codec/qjl_quantiser.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/codec/gaussian_matrix.h"
#include "kernels/codec/number_formats.h"
#include "kernels/codec/sketch_ops.h"
#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

constexpr uint32_t kRowsAtOnce = 16;
constexpr uint32_t kDimMax = 576;  // a row costs m D operations
constexpr float kRootHalfPi = 1.25331414f;

uint64_t NormBytes(TileShape shape) { return AlignTile(uint64_t{shape.tokens} * 2); }

}  // namespace

bool QjlQuantiser::Accepts(const CodecParams& params, TileShape shape) const {
  return params.bits == 1 && params.variant == 0 && params.group == 0 && params.boosted >= 32 &&
         params.boosted <= kGaussianMatrixSideMax && params.boosted % 32 == 0 &&
         shape.head_dim <= kDimMax;
}

uint64_t QjlQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  return NormBytes(shape) + uint64_t{shape.tokens} * params.boosted / 8;
}

bool QjlQuantiser::Encode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                          float* rows, std::byte* out) const {
  const uint32_t dim = context.shape.head_dim, size = context.params.boosted;
  const uint64_t norm_bytes = NormBytes(context.shape);
  if (begin == 0) {
    const uint64_t used = uint64_t{context.shape.tokens} * 2;
    std::memset(out + used, 0, norm_bytes - used);
  }
  const auto matrix = FindGaussianMatrix(context.params.seed, size, dim);
  const SketchOps& ops = SketchOpsOf(context.isa);
  std::vector<float>& scratch = context.workspace.scratch;
  scratch.resize(std::max(scratch.size(), size_t{kRowsAtOnce} * size));
  for (uint32_t done = 0; done < count; done += kRowsAtOnce) {
    const size_t first = begin + done, some = std::min<size_t>(kRowsAtOnce, count - done);
    const float* values = rows + size_t{done} * dim;
    for (size_t i = 0; i < some; ++i) {
      const float* row = values + i * dim;
      const float norm = std::sqrt(VectorOpsOf(context.isa).dot(row, row, dim));
      if (!(norm <= kFp16Max)) return false;
      const uint16_t stored = Fp16OfFloat(norm);
      std::memcpy(out + (first + i) * 2, &stored, 2);
    }
    ops.multiply({matrix->transposed(), dim, size, values, scratch.data(), some});
    ops.signs(scratch.data(), reinterpret_cast<uint8_t*>(out) + norm_bytes + first * (size / 8),
              some * size);
  }
  return true;
}

void QjlQuantiser::Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                          const std::byte* in, float* rows) const {
  const uint32_t dim = context.shape.head_dim, size = context.params.boosted;
  const auto matrix = FindGaussianMatrix(context.params.seed, size, dim);
  const SketchOps& ops = SketchOpsOf(context.isa);
  const float factor = kRootHalfPi / static_cast<float>(size);
  const auto* sketches = reinterpret_cast<const uint8_t*>(in) + NormBytes(context.shape);
  std::vector<float>& scratch = context.workspace.scratch;
  scratch.resize(std::max(scratch.size(), size_t{kRowsAtOnce} * size));
  for (uint32_t done = 0; done < count; done += kRowsAtOnce) {
    const size_t first = begin + done, some = std::min<size_t>(kRowsAtOnce, count - done);
    float* values = rows + size_t{done} * dim;
    ops.unsigns(sketches + first * (size / 8), scratch.data(), some * size);
    ops.multiply({matrix->values(), size, dim, scratch.data(), values, some});
    for (size_t i = 0; i < some; ++i) {
      uint16_t stored;
      std::memcpy(&stored, in + (first + i) * 2, 2);
      VectorOpsOf(context.isa).scale(values + i * dim, dim, FloatOfFp16(stored) * factor);
    }
  }
}

}  // namespace larder
