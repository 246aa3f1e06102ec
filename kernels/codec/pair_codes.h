// One pair (x, y) to radius and angle, to codes and back: the arithmetic of pair_ops.h, which explains it, as pair_ops_scalar.cc and
// device code share it. std-only; device code includes it. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "kernels/codec/exact_math.h"

namespace larder {

inline constexpr float kArctangent[] = {0.999999225f,  -0.333256781f,  0.198720396f,  -0.134478644f,
                                        0.0831264555f, -0.0363604315f, 0.00764835393f};
inline constexpr float kCosine[] = {-1.0f / 2, 1.0f / 24, -1.0f / 720, 1.0f / 40320};
inline constexpr float kSine[] = {-1.0f / 6, 1.0f / 120, -1.0f / 5040};
inline constexpr float kQuarterTurn = 1.57079637f;
inline constexpr float kHalfTurn = 3.14159274f;
inline constexpr float kWholeTurn = 6.28318548f;
inline constexpr float kQuartersPerRadian = 0.636619747f;

// The polynomial of `kCoefficients`, lowest first, by Horner's rule.
template <const auto& kCoefficients, size_t kIndex = 0>
LARDER_HOST_DEVICE inline float Horner(float at) {
  constexpr float kCoefficient = kCoefficients[kIndex];
  if constexpr (kIndex + 1 == std::size(kCoefficients)) {
    return kCoefficient;
  } else {
    return kCoefficient + at * Horner<kCoefficients, kIndex + 1>(at);
  }
}

LARDER_HOST_DEVICE inline float RadiusOfPair(float x, float y) { return SqrtOf(x * x + y * y); }

LARDER_HOST_DEVICE inline float AngleOfPair(float x, float y) {
  const float abs_x = MagnitudeOf(x), abs_y = MagnitudeOf(y);
  const float large = abs_x < abs_y ? abs_y : abs_x, small = abs_x < abs_y ? abs_x : abs_y;
  const float t = large > 0 ? small / large : 0.0f;
  float angle = t * Horner<kArctangent>(t * t);
  if (abs_y > abs_x) angle = kQuarterTurn - angle;
  if (x < 0) angle = kHalfTurn - angle;
  if (y < 0) angle = kWholeTurn - angle;
  return angle;
}

// With a turn more below half a turn.
LARDER_HOST_DEVICE inline float WrappedAngle(float angle) {
  return angle < kHalfTurn ? angle + kWholeTurn : angle;
}

// The bin of a value, 0 to 15.
LARDER_HOST_DEVICE inline unsigned PairCodeOf(float value, float least, float step) {
  const float inverse = step > 0 ? 1.0f / step : 0.0f;
  const float scaled = (value - least) * inverse;
  if (!(scaled > 0)) return 0;
  return scaled < 15.0f ? static_cast<unsigned>(scaled) : 15;
}

struct PairValues {
  float x;
  float y;
};

LARDER_HOST_DEVICE inline PairValues PairOfPolar(float radius, float angle) {
  const auto quarter = static_cast<int32_t>(angle * kQuartersPerRadian + 0.5f);
  const float rest = angle - static_cast<float>(quarter) * kQuarterTurn;
  const float square = rest * rest;
  const float cosine = 1.0f + square * Horner<kCosine>(square);
  const float sine = rest + rest * (square * Horner<kSine>(square));
  const bool odd = (quarter & 1) != 0;
  const float x = odd ? sine : cosine, y = odd ? cosine : sine;
  return {radius * (((quarter + 1) & 2) != 0 ? -x : x), radius * ((quarter & 2) != 0 ? -y : y)};
}

}  // namespace larder
