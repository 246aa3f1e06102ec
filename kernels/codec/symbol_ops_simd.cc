// The SIMD twin of symbol_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/symbol_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include "kernels/codec/number_formats.h"
#include "kernels/codec/symbol_ops.h"
#include "kernels/codec/symbol_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const SymbolOps& TargetSymbolOps() { return SymbolOpsOf(Isa::kScalar); }

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes: every count is a multiple of 16.
constexpr hn::CappedTag<uint16_t, 16> kU16;
constexpr hn::Rebind<uint8_t, decltype(kU16)> kHalf8;
constexpr hn::CappedTag<float, 16> kF32;
constexpr hn::RebindToUnsigned<decltype(kF32)> kU32;
constexpr hn::RebindToSigned<decltype(kF32)> kI32;
constexpr hn::Rebind<uint8_t, decltype(kF32)> kQuarter8;
using U16 = hn::Vec<decltype(kU16)>;

U16 Load8(const uint8_t* from) { return hn::PromoteTo(kU16, hn::LoadU(kHalf8, from)); }

void Store8(U16 values, uint8_t* to) { hn::StoreU(hn::TruncateTo(kHalf8, values), kHalf8, to); }

void SplitBf16(const uint16_t* values, uint8_t* exponents, uint8_t* rest, size_t count) {
  const U16 sign = hn::Set(kU16, uint16_t{0x80}), mantissa = hn::Set(kU16, uint16_t{0x7F});
  for (size_t i = 0; i < count; i += hn::Lanes(kU16)) {
    const U16 value = hn::LoadU(kU16, values + i);
    Store8(hn::ShiftRight<7>(value), exponents + i);
    Store8(hn::Or(hn::And(hn::ShiftRight<8>(value), sign), hn::And(value, mantissa)), rest + i);
  }
}

void MergeBf16(const uint8_t* exponents, const uint8_t* rest, uint16_t* values, size_t count) {
  const U16 sign = hn::Set(kU16, uint16_t{0x8000}), mantissa = hn::Set(kU16, uint16_t{0x7F});
  for (size_t i = 0; i < count; i += hn::Lanes(kU16)) {
    const U16 low = Load8(rest + i);
    const U16 outer = hn::Or(hn::And(hn::ShiftLeft<8>(low), sign), hn::And(low, mantissa));
    hn::StoreU(hn::Or(outer, hn::ShiftLeft<7>(Load8(exponents + i))), kU16, values + i);
  }
}

void SplitFp16(const uint16_t* values, uint8_t* exponents, uint8_t* low, uint8_t* high,
               size_t count) {
  for (size_t i = 0; i < count; i += hn::Lanes(kU16)) {
    const U16 value = hn::LoadU(kU16, values + i);
    Store8(hn::And(hn::ShiftRight<10>(value), hn::Set(kU16, uint16_t{31})), exponents + i);
    Store8(value, low + i);
    const U16 top = hn::And(hn::ShiftRight<8>(value), hn::Set(kU16, uint16_t{3}));
    Store8(hn::Or(top, hn::ShiftLeft<2>(hn::ShiftRight<15>(value))), high + i);
  }
}

void MergeFp16(const uint8_t* exponents, const uint8_t* low, const uint8_t* high, uint16_t* values,
               size_t count) {
  for (size_t i = 0; i < count; i += hn::Lanes(kU16)) {
    const U16 top = Load8(high + i);
    const U16 sign = hn::ShiftLeft<13>(hn::And(top, hn::Set(kU16, uint16_t{4})));
    const U16 mantissa =
        hn::Or(hn::ShiftLeft<8>(hn::And(top, hn::Set(kU16, uint16_t{3}))), Load8(low + i));
    const U16 exponent = hn::ShiftLeft<10>(Load8(exponents + i));
    hn::StoreU(hn::Or(hn::Or(sign, exponent), mantissa), kU16, values + i);
  }
}

void Quantise(const float* values, float factor, int limit, uint8_t* symbols, size_t count) {
  const auto by = hn::Set(kF32, factor), shift = hn::Set(kF32, kRoundingShift);
  const auto high = hn::Set(kF32, static_cast<float>(limit)), low = hn::Neg(high);
  const auto zero = hn::Set(kU32, BitsOf(kRoundingShift) - static_cast<uint32_t>(limit));
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const auto step = hn::Mul(hn::LoadU(kF32, values + i), by);
    const auto clamped = hn::Max(hn::Min(step, high), low);
    const auto code = hn::Sub(hn::BitCast(kU32, hn::Add(clamped, shift)), zero);
    hn::StoreU(hn::TruncateTo(kQuarter8, code), kQuarter8, symbols + i);
  }
}

// A table of kVectors vectors stays in registers: each symbol is looked up in all of them by its low bits, and
// its high bits choose.
template <size_t kVectors>
void LookUpWithin(const uint8_t* symbols, const float* table, float scale, float* out,
                  size_t count) {
  constexpr size_t kN = hn::MaxLanes(kF32);
  const auto by = hn::Set(kF32, scale);
  hn::Vec<decltype(kF32)> entries[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    entries[v] = hn::Mul(hn::LoadU(kF32, table + v * kN), by);
  }
  const auto low = hn::Set(kI32, static_cast<int32_t>(kN - 1));
  for (size_t i = 0; i < count; i += kN) {
    const auto index = hn::PromoteTo(kI32, hn::LoadU(kQuarter8, symbols + i));
    const auto within = hn::IndicesFromVec(kF32, hn::And(index, low));
    auto found = hn::TableLookupLanes(entries[0], within);
    for (size_t v = 1; v < kVectors; ++v) {
      const auto beyond = hn::Gt(index, hn::Set(kI32, static_cast<int32_t>(v * kN - 1)));
      found = hn::IfThenElse(hn::RebindMask(kF32, beyond), hn::TableLookupLanes(entries[v], within),
                             found);
    }
    hn::StoreU(found, kF32, out + i);
  }
}

void LookUp(const uint8_t* symbols, const float* table, size_t entries, float scale, float* out,
            size_t count) {
  switch (entries / hn::MaxLanes(kF32)) {
    case 1:
      return LookUpWithin<1>(symbols, table, scale, out, count);
    case 2:
      return LookUpWithin<2>(symbols, table, scale, out, count);
    case 3:
      return LookUpWithin<3>(symbols, table, scale, out, count);
    case 4:
      return LookUpWithin<4>(symbols, table, scale, out, count);
    default:
      break;
  }
  const auto by = hn::Set(kF32, scale);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const auto index = hn::PromoteTo(kI32, hn::LoadU(kQuarter8, symbols + i));
    hn::StoreU(hn::Mul(hn::GatherIndex(kF32, table, index), by), kF32, out + i);
  }
}

}  // namespace

const SymbolOps& TargetSymbolOps() {
  static constexpr SymbolOps kOps = {
      .split_bf16 = SplitBf16,
      .merge_bf16 = MergeBf16,
      .split_fp16 = SplitFp16,
      .merge_fp16 = MergeFp16,
      .quantise = Quantise,
      .look_up = LookUp,
  };
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetSymbolOps);

const SymbolOps& SimdSymbolOps() { return HWY_DYNAMIC_DISPATCH(TargetSymbolOps)(); }

}  // namespace larder
#endif
