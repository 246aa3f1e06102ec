// The oracle of pair_ops_simd.cc.
#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/pair_ops.h"
#include "kernels/codec/pair_ops_internal.h"

namespace larder {
namespace {

void Split(const float* row, size_t pairs, float* radii, float* angles) {
  for (size_t j = 0; j < pairs; ++j) {
    const float x = row[j], y = row[j + pairs];
    radii[j] = RadiusOfPair(x, y);
    angles[j] = AngleOfPair(x, y);
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

void Unwrap(float* angles, size_t count, size_t pairs) {
  for (size_t j = 0; j < pairs; ++j) {
    float least = angles[j], largest = least, low = WrappedAngle(least), high = low;
    for (size_t row = 1; row < count; ++row) {
      const float angle = angles[row * pairs + j];
      least = std::min(least, angle);
      largest = std::max(largest, angle);
      low = std::min(low, WrappedAngle(angle));
      high = std::max(high, WrappedAngle(angle));
    }
    if (!(high - low < largest - least)) continue;
    for (size_t row = 0; row < count; ++row) {
      angles[row * pairs + j] = WrappedAngle(angles[row * pairs + j]);
    }
  }
}

void Encode(const float* radii, const float* angles, size_t pairs, const PairRanges& ranges,
            uint8_t* codes) {
  for (size_t j = 0; j < pairs; ++j) {
    const unsigned radius = PairCodeOf(radii[j], ranges.radius_least[j], ranges.radius_step[j]);
    const unsigned angle = PairCodeOf(angles[j], ranges.angle_least[j], ranges.angle_step[j]);
    codes[j] = static_cast<uint8_t>(radius << 4 | angle);
  }
}

void Decode(const uint8_t* codes, size_t pairs, const PairRanges& ranges, float* row) {
  for (size_t j = 0; j < pairs; ++j) {
    const float radius_code = static_cast<float>(codes[j] >> 4) + 0.5f;
    const float angle_code = static_cast<float>(codes[j] & 15) + 0.5f;
    const float radius = ranges.radius_least[j] + radius_code * ranges.radius_step[j];
    const float angle = ranges.angle_least[j] + angle_code * ranges.angle_step[j];
    const PairValues values = PairOfPolar(radius, angle);
    row[j] = values.x;
    row[j + pairs] = values.y;
  }
}

constexpr PairOps kScalarOps = {
    .split = Split, .range = Range, .unwrap = Unwrap, .encode = Encode, .decode = Decode};

}  // namespace

const PairOps& PairOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdPairOps(); }

}  // namespace larder
