// The oracle: every function in its plainest form.
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/vector_ops.h"
#include "kernels/codec/vector_ops_internal.h"

namespace larder {
namespace {

uint32_t MaxMagnitudeBits16(const uint16_t* values, size_t count) {
  uint32_t max = 0;
  for (size_t i = 0; i < count; ++i) max = std::max(max, values[i] & 0x7FFFu);
  return max;
}

void WidenBf16(const uint16_t* values, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = FloatOfBf16(values[i]);
}

void NarrowBf16(const float* values, uint16_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = Bf16OfFloat(values[i]);
}

void WidenFp16(const uint16_t* values, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = FloatOfFp16(values[i]);
}

void NarrowFp16(const float* values, uint16_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = Fp16OfFloat(values[i]);
}

float MaxMagnitude(const float* values, size_t count) {
  float max = 0;
  for (size_t i = 0; i < count; ++i)
    max = std::max(max, FloatOfBits(BitsOf(values[i]) & 0x7FFFFFFF));
  return max;
}

float Dot(const float* left, const float* right, size_t count) {
  std::array<float, 32> lanes{};
  for (size_t i = 0; i < count; ++i) lanes[i % 32] += left[i] * right[i];
  for (size_t half = 16; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

void Scale(float* values, size_t count, float factor) {
  for (size_t i = 0; i < count; ++i) values[i] *= factor;
}

void AddColumns(float* rows, size_t row_count, size_t width, const float* columns, float sign) {
  for (size_t row = 0; row < row_count; ++row) {
    for (size_t i = 0; i < width; ++i) rows[row * width + i] += sign * columns[i];
  }
}

void SumColumns(const float* rows, size_t row_count, size_t width, float* sums) {
  for (size_t row = 0; row < row_count; ++row) {
    for (size_t i = 0; i < width; ++i) sums[i] += rows[row * width + i];
  }
}

void TurnPairs(float* row, const float* cosines, const float* sines, size_t pairs,
               bool interleaved) {
  for (size_t pair = 0; pair < pairs; ++pair) {
    float& first = interleaved ? row[2 * pair] : row[pair];
    float& second = interleaved ? row[2 * pair + 1] : row[pair + pairs];
    const float x = first, y = second;
    first = x * cosines[pair] - y * sines[pair];
    second = x * sines[pair] + y * cosines[pair];
  }
}

void WidenTurnBf16(const uint16_t* row, const RopeRow& rope, size_t pairs, float* out) {
  WidenBf16(row, out, 2 * pairs);
  TurnPairs(out, rope.cosines, rope.sines, pairs, /*interleaved=*/false);
}

void TurnNarrowBf16(const float* row, const float* mean, const RopeRow& rope, size_t pairs,
                    uint16_t* out) {
  std::vector<float> turned(row, row + 2 * pairs);
  if (mean != nullptr) AddColumns(turned.data(), 1, 2 * pairs, mean, 1.0f);
  TurnPairs(turned.data(), rope.cosines, rope.sines, pairs, /*interleaved=*/false);
  NarrowBf16(turned.data(), out, 2 * pairs);
}

void Hadamard(float* values, size_t count) {
  for (size_t half = 1; half < count; half *= 2) {
    for (size_t i = 0; i < count; ++i) {
      if ((i & half) != 0) continue;
      const float x = values[i], y = values[i + half];
      values[i] = x + y;
      values[i + half] = x - y;
    }
  }
}

constexpr VectorOps kScalarOps = {
    .max_magnitude_bits16 = MaxMagnitudeBits16,
    .widen_bf16 = WidenBf16,
    .narrow_bf16 = NarrowBf16,
    .widen_fp16 = WidenFp16,
    .narrow_fp16 = NarrowFp16,
    .max_magnitude = MaxMagnitude,
    .dot = Dot,
    .scale = Scale,
    .add_columns = AddColumns,
    .sum_columns = SumColumns,
    .turn_pairs = TurnPairs,
    .widen_turn_bf16 = WidenTurnBf16,
    .turn_narrow_bf16 = TurnNarrowBf16,
    .hadamard = Hadamard,
};

}  // namespace

const VectorOps& VectorOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdVectorOps(); }

}  // namespace larder
