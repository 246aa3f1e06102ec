// The oracle of polar_ops_simd.cc.
#include <cmath>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/polar_ops.h"
#include "kernels/codec/polar_ops_internal.h"

namespace larder {
namespace {

void Split(const float* pairs, size_t count, const AngleBook& book, float* radii, uint8_t* codes) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t x_bits = BitsOf(pairs[2 * i]), y_bits = BitsOf(pairs[2 * i + 1]);
    const float x = FloatOfBits(x_bits & 0x7FFFFFFFu), y = FloatOfBits(y_bits & 0x7FFFFFFFu);
    radii[i] = std::sqrt(x * x + y * y);
    unsigned code = 0;
    for (unsigned k = 0; k + 1 < book.bins; ++k) code += y >= book.tangents[k] * x ? 1 : 0;
    if (book.whole_circle) code += (x_bits >> 31) * book.bins + (y_bits >> 31) * 2 * book.bins;
    codes[i] = static_cast<uint8_t>(code);
  }
}

void Join(const float* radii, const uint8_t* codes, size_t count, const AngleBook& book,
          float* pairs) {
  for (size_t i = 0; i < count; ++i) {
    const unsigned code = codes[i], k = code & (book.bins - 1);
    const float x = radii[i] * book.cosines[k], y = radii[i] * book.sines[k];
    pairs[2 * i] = (code & book.bins) != 0 ? -x : x;
    pairs[2 * i + 1] = (code & (2 * book.bins)) != 0 ? -y : y;
  }
}

constexpr PolarOps kScalarOps = {.split = Split, .join = Join};

}  // namespace

const PolarOps& PolarOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdPolarOps(); }

}  // namespace larder
