// The oracle of symbol_ops_simd.cc.
#include "kernels/codec/number_formats.h"
#include "kernels/codec/symbol_ops.h"
#include "kernels/codec/symbol_ops_internal.h"

namespace larder {
namespace {

void SplitBf16(const uint16_t* values, uint8_t* exponents, uint8_t* rest, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const unsigned value = values[i];
    exponents[i] = static_cast<uint8_t>(value >> 7);
    rest[i] = static_cast<uint8_t>((value >> 8 & 0x80) | (value & 0x7F));
  }
}

void MergeBf16(const uint8_t* exponents, const uint8_t* rest, uint16_t* values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const unsigned sign = (rest[i] & 0x80u) << 8;
    values[i] = static_cast<uint16_t>(sign | unsigned{exponents[i]} << 7 | (rest[i] & 0x7Fu));
  }
}

void SplitFp16(const uint16_t* values, uint8_t* exponents, uint8_t* low, uint8_t* high,
               size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const unsigned value = values[i];
    exponents[i] = static_cast<uint8_t>(value >> 10 & 31);
    low[i] = static_cast<uint8_t>(value);
    high[i] = static_cast<uint8_t>((value >> 8 & 3) | value >> 15 << 2);
  }
}

void MergeFp16(const uint8_t* exponents, const uint8_t* low, const uint8_t* high, uint16_t* values,
               size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const unsigned sign = (high[i] & 4u) << 13;
    values[i] =
        static_cast<uint16_t>(sign | unsigned{exponents[i]} << 10 | (high[i] & 3u) << 8 | low[i]);
  }
}

void Quantise(const float* values, float factor, int limit, uint8_t* symbols, size_t count) {
  const auto bound = static_cast<float>(limit);
  const uint32_t zero = BitsOf(kRoundingShift) - static_cast<uint32_t>(limit);
  for (size_t i = 0; i < count; ++i) {
    float step = values[i] * factor;
    step = step < bound ? step : bound;
    step = step > -bound ? step : -bound;
    symbols[i] = static_cast<uint8_t>(BitsOf(step + kRoundingShift) - zero);
  }
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
