#include "kernels/codec/portable_math.h"

#include <bit>
#include <cstdint>

namespace larder {
namespace {

// pi/2 in three parts; products of the first two with integers below 2^24 are exact.
constexpr double kHalfPiHigh = 0x1.921fb54p+0;
constexpr double kHalfPiMiddle = 0x1.10b4610p-30;
constexpr double kHalfPiLow = 0x1.a62633145c06ep-58;
constexpr double kLn2High = 0x1.62e42fep-1;  // 28 bits: exact times any exponent
constexpr double kLn2Low = 0x1.f473de6af278fp-30;

double PowerOfTwo(int exponent) {
  return std::bit_cast<double>(static_cast<uint64_t>(exponent + 1023) << 52);
}

// Nearest integer, halves away from zero; |x| below 2^62.
int64_t Nearest(double x) { return static_cast<int64_t>(x < 0 ? x - 0.5 : x + 0.5); }

// Taylor series for |x| <= pi/4, from the smallest term on.
double SineNearZero(double x) {
  const double square = x * x;
  double sum = 1.0;
  for (int n = 19; n >= 3; n -= 2) sum = 1.0 - square / (n * (n - 1)) * sum;
  return x * sum;
}

double CosineNearZero(double x) {
  const double square = x * x;
  double sum = 1.0;
  for (int n = 20; n >= 2; n -= 2) sum = 1.0 - square / (n * (n - 1)) * sum;
  return sum;
}

}  // namespace

SineCosine PortableSineCosine(double x) {
  const int64_t quarter_turns = Nearest(x / (kHalfPiHigh + kHalfPiMiddle));
  const double turns = static_cast<double>(quarter_turns);
  const double rest = ((x - turns * kHalfPiHigh) - turns * kHalfPiMiddle) - turns * kHalfPiLow;
  const double sine = SineNearZero(rest);
  const double cosine = CosineNearZero(rest);
  switch (quarter_turns & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

double PortableExp(double x) {
  const int64_t exponent = Nearest(x / (kLn2High + kLn2Low));
  const double rest =
      (x - static_cast<double>(exponent) * kLn2High) - static_cast<double>(exponent) * kLn2Low;
  double sum = 1.0;
  for (int n = 18; n >= 1; --n) sum = 1.0 + rest / n * sum;
  return sum * PowerOfTwo(static_cast<int>(exponent));
}

double PortableLog(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & ((uint64_t{1} << 52) - 1)) | (1023ull << 52));
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    ++exponent;
  }
  // log m = 2 atanh((m - 1) / (m + 1)), whose argument is at most 0.172.
  const double ratio = (mantissa - 1.0) / (mantissa + 1.0);
  const double square = ratio * ratio;
  double sum = 0.0;
  for (int n = 25; n >= 1; n -= 2) sum = 1.0 / n + square * sum;
  return exponent * kLn2High + (exponent * kLn2Low + 2.0 * ratio * sum);
}

}  // namespace larder
