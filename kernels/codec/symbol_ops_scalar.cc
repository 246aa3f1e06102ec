// The oracle of symbol_ops_simd.cc.
#include "kernels/codec/symbol_codes.h"
#include "kernels/codec/symbol_ops.h"
#include "kernels/codec/symbol_ops_internal.h"

namespace larder {
namespace {

void SplitBf16(const uint16_t* values, uint8_t* exponents, uint8_t* rest, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const SplitElement split = SplitBf16Element(values[i]);
    exponents[i] = split.exponent;
    rest[i] = split.low;
  }
}

void MergeBf16(const uint8_t* exponents, const uint8_t* rest, uint16_t* values, size_t count) {
  for (size_t i = 0; i < count; ++i) values[i] = MergeBf16Element({exponents[i], rest[i], 0});
}

void SplitFp16(const uint16_t* values, uint8_t* exponents, uint8_t* low, uint8_t* high,
               size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const SplitElement split = SplitFp16Element(values[i]);
    exponents[i] = split.exponent;
    low[i] = split.low;
    high[i] = split.high;
  }
}

void MergeFp16(const uint8_t* exponents, const uint8_t* low, const uint8_t* high, uint16_t* values,
               size_t count) {
  for (size_t i = 0; i < count; ++i) {
    values[i] = MergeFp16Element({exponents[i], low[i], high[i]});
  }
}

void Quantise(const float* values, float factor, int limit, uint8_t* symbols, size_t count) {
  for (size_t i = 0; i < count; ++i) symbols[i] = SymbolOfValue(values[i], factor, limit);
}

void LookUp(const uint8_t* symbols, const float* table, size_t, float scale, float* out,
            size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = table[symbols[i]] * scale;
}

constexpr SymbolOps kScalarOps = {
    .split_bf16 = SplitBf16,
    .merge_bf16 = MergeBf16,
    .split_fp16 = SplitFp16,
    .merge_fp16 = MergeFp16,
    .quantise = Quantise,
    .look_up = LookUp,
};

}  // namespace

const SymbolOps& SymbolOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdSymbolOps(); }

}  // namespace larder
