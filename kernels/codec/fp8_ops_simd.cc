// The SIMD twin of fp8_ops_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/fp8_ops_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include "kernels/codec/fp8_ops.h"
#include "kernels/codec/fp8_ops_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const Fp8Ops& TargetFp8Ops() { return Fp8OpsOf(Isa::kScalar); }

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;

#include "kernels/codec/element_rows_simd.inc"

// Steps of Fp8E4M3OfFloat and its kin (number_formats.h).
struct E4M3 {
  static constexpr int kShift = 20;                     // mantissa bits that go
  static constexpr uint32_t kMaxBits = 0x43E00000u;     // 448
  static constexpr uint32_t kNormalBits = 0x3C800000u;  // 2^-6
  static constexpr float kSubnormalShift = 0x1p14f;     // its ulp is the subnormal step
  static constexpr uint32_t kRebias = 120u << 3;
  static constexpr float kUnbias = 0x1p120f;
};

struct E5M2 {
  static constexpr int kShift = 21;
  static constexpr uint32_t kMaxBits = 0x47600000u;     // 57344
  static constexpr uint32_t kNormalBits = 0x38800000u;  // 2^-14
  static constexpr float kSubnormalShift = 0x1p7f;
  static constexpr uint32_t kRebias = 112u << 2;
  static constexpr float kUnbias = 0x1p112f;
};

template <class Format, class Elements>
void EncodeRow(const void* row, float factor, uint8_t* out, size_t count) {
  const auto* values = static_cast<const typename Elements::Type*>(row);
  const F32 by = hn::Set(kF32, factor), shift = hn::Set(kF32, Format::kSubnormalShift);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const F32 value = hn::Mul(Elements::Load(values + i), by);
    const U32 sign = hn::ShiftLeft<7>(hn::ShiftRight<31>(hn::BitCast(kU32, value)));
    const U32 bits = hn::Min(MagnitudeBits(value), hn::Set(kU32, Format::kMaxBits));
    const U32 subnormal = hn::Sub(hn::BitCast(kU32, hn::Add(hn::BitCast(kF32, bits), shift)),
                                  hn::BitCast(kU32, shift));
    const U32 odd = hn::And(hn::ShiftRight<Format::kShift>(bits), hn::Set(kU32, 1u));
    const U32 rounded =
        hn::Add(hn::Add(bits, hn::Set(kU32, (1u << (Format::kShift - 1)) - 1)), odd);
    const U32 normal =
        hn::Sub(hn::ShiftRight<Format::kShift>(rounded), hn::Set(kU32, Format::kRebias));
    const U32 magnitude =
        hn::IfThenElse(hn::Lt(bits, hn::Set(kU32, Format::kNormalBits)), subnormal, normal);
    hn::StoreU(hn::TruncateTo(kU8, hn::Or(sign, magnitude)), kU8, out + i);
  }
}

template <class Format, class Elements>
void DecodeRow(const uint8_t* codes, float scale, void* row, size_t count) {
  auto* values = static_cast<typename Elements::Type*>(row);
  const F32 by = hn::Set(kF32, scale), up = hn::Set(kF32, Format::kUnbias);
  for (size_t i = 0; i < count; i += hn::Lanes(kF32)) {
    const U32 wide = hn::PromoteTo(kU32, hn::LoadU(kU8, codes + i));
    const U32 sign = hn::ShiftLeft<31>(hn::ShiftRight<7>(wide));
    const U32 magnitude = hn::ShiftLeft<Format::kShift>(hn::And(wide, hn::Set(kU32, 0x7Fu)));
    const U32 value = hn::BitCast(kU32, hn::Mul(hn::BitCast(kF32, magnitude), up));
    Elements::Store(hn::Mul(hn::BitCast(kF32, hn::Or(value, sign)), by), values + i);
  }
}

template <class Format>
void EncodeAs(ElementType type, const void* row, float factor, uint8_t* out, size_t count) {
  if (type == ElementType::kBf16) return EncodeRow<Format, Bf16Elements>(row, factor, out, count);
  if (type == ElementType::kFp16) return EncodeRow<Format, Fp16Elements>(row, factor, out, count);
  EncodeRow<Format, F32Elements>(row, factor, out, count);
}

template <class Format>
void DecodeAs(ElementType type, const uint8_t* codes, float scale, void* row, size_t count) {
  if (type == ElementType::kBf16) return DecodeRow<Format, Bf16Elements>(codes, scale, row, count);
  if (type == ElementType::kFp16) return DecodeRow<Format, Fp16Elements>(codes, scale, row, count);
  DecodeRow<Format, F32Elements>(codes, scale, row, count);
}

void Encode(Fp8Format format, ElementType type, const void* row, float factor, uint8_t* out,
            size_t count) {
  if (format == Fp8Format::kE5M2) return EncodeAs<E5M2>(type, row, factor, out, count);
  EncodeAs<E4M3>(type, row, factor, out, count);
}

void Decode(Fp8Format format, ElementType type, const uint8_t* codes, float scale, void* row,
            size_t count) {
  if (format == Fp8Format::kE5M2) return DecodeAs<E5M2>(type, codes, scale, row, count);
  DecodeAs<E4M3>(type, codes, scale, row, count);
}

}  // namespace

const Fp8Ops& TargetFp8Ops() {
  static constexpr Fp8Ops kOps = {.encode = Encode, .decode = Decode};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetFp8Ops);

const Fp8Ops& SimdFp8Ops() { return HWY_DYNAMIC_DISPATCH(TargetFp8Ops)(); }

}  // namespace larder
#endif
