// The oracle of fp8_ops_simd.cc.
#include "kernels/codec/fp8_ops.h"
#include "kernels/codec/fp8_ops_internal.h"
#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

void Encode(Fp8Format format, ElementType type, const void* row, float factor, uint8_t* out,
            size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float value = LoadElement(type, row, i) * factor;
    out[i] = format == Fp8Format::kE5M2 ? Fp8E5M2OfFloat(value) : Fp8E4M3OfFloat(value);
  }
}

void Decode(Fp8Format format, ElementType type, const uint8_t* codes, float scale, void* row,
            size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float value =
        format == Fp8Format::kE5M2 ? FloatOfFp8E5M2(codes[i]) : FloatOfFp8E4M3(codes[i]);
    StoreElement(type, value * scale, row, i);
  }
}

constexpr Fp8Ops kScalarOps = {.encode = Encode, .decode = Decode};

}  // namespace

const Fp8Ops& Fp8OpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdFp8Ops(); }

}  // namespace larder
