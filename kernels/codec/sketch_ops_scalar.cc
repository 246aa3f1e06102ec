// The oracle of sketch_ops_simd.cc.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/sketch_ops.h"
#include "kernels/codec/sketch_ops_internal.h"

namespace larder {
namespace {

void Multiply(const MatrixProduct& product) {
  const size_t outer = product.outer;
  std::vector<float> lanes(32 * outer);
  for (size_t row = 0; row < product.rows; ++row) {
    std::fill(lanes.begin(), lanes.end(), 0.0f);
    for (size_t i = 0; i < product.inner; ++i) {
      const float weight = product.weights[row * product.inner + i];
      float* lane = &lanes[i % 32 * outer];
      const float* line = product.matrix + i * outer;
      for (size_t c = 0; c < outer; ++c) lane[c] += weight * line[c];
    }
    for (size_t half = 16; half > 0; half /= 2) {
      for (size_t i = 0; i < half * outer; ++i) lanes[i] += lanes[i + half * outer];
    }
    std::copy_n(lanes.begin(), outer, product.out + row * outer);
  }
}

void Signs(const float* values, uint8_t* bits, size_t count) {
  std::memset(bits, 0, count / 8);
  for (size_t i = 0; i < count; ++i) {
    bits[i / 8] |= static_cast<uint8_t>((~BitsOf(values[i]) >> 31) << (i % 8));
  }
}

void Unsigns(const uint8_t* bits, float* values, size_t count) {
  for (size_t i = 0; i < count; ++i) values[i] = ((bits[i / 8] >> (i % 8)) & 1) != 0 ? 1.0f : -1.0f;
}

constexpr SketchOps kScalarOps = {.multiply = Multiply, .signs = Signs, .unsigns = Unsigns};

}  // namespace

const SketchOps& SketchOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdSketchOps(); }

}  // namespace larder
