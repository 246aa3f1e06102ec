// The oracle of polar_ops_simd.cc.
#include "kernels/codec/polar_ops.h"
#include "kernels/codec/polar_ops_internal.h"

namespace larder {
namespace {

void Split(const float* pairs, size_t count, const AngleBook& book, float* radii, uint8_t* codes) {
  for (size_t i = 0; i < count; ++i) {
    radii[i] = PolarRadiusOf(pairs[2 * i], pairs[2 * i + 1]);
    codes[i] = PolarCodeOf(book, pairs[2 * i], pairs[2 * i + 1]);
  }
}

void Join(const float* radii, const uint8_t* codes, size_t count, const AngleBook& book,
          float* pairs) {
  for (size_t i = 0; i < count; ++i) {
    PolarPairOf(book, radii[i], codes[i], &pairs[2 * i], &pairs[2 * i + 1]);
  }
}

constexpr PolarOps kScalarOps = {.split = Split, .join = Join};

}  // namespace

const PolarOps& PolarOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdPolarOps(); }

}  // namespace larder
