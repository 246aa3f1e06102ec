// The oracle of codebook_ops_simd.cc.
#include <array>
#include <cmath>

#include "kernels/codec/codebook_ops.h"
#include "kernels/codec/codebook_ops_internal.h"

namespace larder {
namespace {

CodedRow EncodeRow(const float* row, size_t dim, const Codebook& book, uint8_t* codes) {
  CodedRow coded{};
  coded.energy = VectorOpsOf(Isa::kScalar).dot(row, row, dim);
  coded.rms = std::sqrt(coded.energy / static_cast<float>(dim));
  const float inverse = coded.rms > 0 ? 1.0f / coded.rms : 0.0f;
  std::array<float, 32> lanes{};
  for (size_t i = 0; i < dim; ++i) {
    codes[i] = CodeOf(book, row[i] * inverse);
    lanes[i % 32] += row[i] * book.values[codes[i]];
  }
  for (size_t half = 16; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  coded.product = lanes[0];
  return coded;
}

void Encode(const CodeRows& rows, const Codebook& book, CodedRow* coded) {
  for (size_t i = 0; i < rows.count; ++i) {
    coded[i] = EncodeRow(rows.rows + i * rows.dim, rows.dim, book, rows.codes + i * rows.stride);
  }
}

void Decode(const CodeRows& rows, const Codebook& book, const float* scales) {
  for (size_t row = 0; row < rows.count; ++row) {
    for (size_t i = 0; i < rows.dim; ++i) {
      rows.rows[row * rows.dim + i] = book.values[rows.codes[row * rows.stride + i]] * scales[row];
    }
  }
}

constexpr CodebookOps kScalarOps = {.encode = Encode, .decode = Decode};

}  // namespace

const CodebookOps& CodebookOpsOf(Isa isa) {
  return isa == Isa::kScalar ? kScalarOps : SimdCodebookOps();
}

}  // namespace larder
