// The oracle of pair_ops_simd.cc.
#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/pair_ops.h"
#include "kernels/codec/pair_ops_internal.h"

namespace larder {
namespace {

float Horner(std::span<const float> coefficients, float at) {
  float sum = coefficients.back();
  for (size_t i = coefficients.size() - 1; i-- > 0;) sum = coefficients[i] + at * sum;
  return sum;
}

float Magnitude(float value) { return FloatOfBits(BitsOf(value) & 0x7FFFFFFFu); }

float AngleOf(float x, float y) {
  const float abs_x = Magnitude(x), abs_y = Magnitude(y);
  const float large = abs_x < abs_y ? abs_y : abs_x, small = abs_x < abs_y ? abs_x : abs_y;
  const float t = large > 0 ? small / large : 0.0f;
  float angle = t * Horner(kArctangent, t * t);
  if (abs_y > abs_x) angle = kQuarterTurn - angle;
  if (x < 0) angle = kHalfTurn - angle;
  if (y < 0) angle = kWholeTurn - angle;
  return angle;
}

void Split(const float* row, size_t pairs, float* radii, float* angles) {
  for (size_t j = 0; j < pairs; ++j) {
    const float x = row[j], y = row[j + pairs];
    radii[j] = std::sqrt(x * x + y * y);
    angles[j] = AngleOf(x, y);
  }
}

void Range(const float* values, size_t count, size_t pairs, float* least, float* largest) {
  for (size_t j = 0; j < pairs; ++j) {
    least[j] = largest[j] = values[j];
    for (size_t row = 1; row < count; ++row) {
      least[j] = std::min(least[j], values[row * pairs + j]);
      largest[j] = std::max(largest[j], values[row * pairs + j]);
    }
  }
}

float Wrapped(float angle) { return angle < kHalfTurn ? angle + kWholeTurn : angle; }

void Unwrap(float* angles, size_t count, size_t pairs) {
  for (size_t j = 0; j < pairs; ++j) {
    float least = angles[j], largest = least, low = Wrapped(least), high = low;
    for (size_t row = 1; row < count; ++row) {
      const float angle = angles[row * pairs + j];
      least = std::min(least, angle);
      largest = std::max(largest, angle);
      low = std::min(low, Wrapped(angle));
      high = std::max(high, Wrapped(angle));
    }
    if (!(high - low < largest - least)) continue;
    for (size_t row = 0; row < count; ++row) {
      angles[row * pairs + j] = Wrapped(angles[row * pairs + j]);
    }
  }
}

unsigned CodeOf(float value, float least, float step) {
  const float inverse = step > 0 ? 1.0f / step : 0.0f;
  const float scaled = (value - least) * inverse;
  if (!(scaled > 0)) return 0;
  return scaled < 15.0f ? static_cast<unsigned>(scaled) : 15;
}

void Encode(const float* radii, const float* angles, size_t pairs, const PairRanges& ranges,
            uint8_t* codes) {
  for (size_t j = 0; j < pairs; ++j) {
    const unsigned radius = CodeOf(radii[j], ranges.radius_least[j], ranges.radius_step[j]);
    const unsigned angle = CodeOf(angles[j], ranges.angle_least[j], ranges.angle_step[j]);
    codes[j] = static_cast<uint8_t>(radius << 4 | angle);
  }
}

void Decode(const uint8_t* codes, size_t pairs, const PairRanges& ranges, float* row) {
  for (size_t j = 0; j < pairs; ++j) {
    const float radius_code = static_cast<float>(codes[j] >> 4) + 0.5f;
    const float angle_code = static_cast<float>(codes[j] & 15) + 0.5f;
    const float radius = ranges.radius_least[j] + radius_code * ranges.radius_step[j];
    const float angle = ranges.angle_least[j] + angle_code * ranges.angle_step[j];
    const auto quarter = static_cast<int32_t>(angle * kQuartersPerRadian + 0.5f);
    const float rest = angle - static_cast<float>(quarter) * kQuarterTurn;
    const float square = rest * rest;
    const float cosine = 1.0f + square * Horner(kCosine, square);
    const float sine = rest + rest * (square * Horner(kSine, square));
    const bool odd = (quarter & 1) != 0;
    const float x = odd ? sine : cosine, y = odd ? cosine : sine;
    row[j] = radius * (((quarter + 1) & 2) != 0 ? -x : x);
    row[j + pairs] = radius * ((quarter & 2) != 0 ? -y : y);
  }
}

constexpr PairOps kScalarOps = {
    .split = Split, .range = Range, .unwrap = Unwrap, .encode = Encode, .decode = Decode};

}  // namespace

const PairOps& PairOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdPairOps(); }

}  // namespace larder
