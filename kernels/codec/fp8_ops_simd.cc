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

#include "kernels/codec/element_rows_simd.inc"

struct E4M3 {
  static constexpr int kBits = 8;
  static constexpr int kShift = 20;
  static constexpr uint32_t kMaxBits = 0x43E00000u;     // 448
  static constexpr uint32_t kNormalBits = 0x3C800000u;  // 2^-6
  static constexpr float kUnbias = 0x1p120f;
  static constexpr uint32_t kBias = 7;
};

struct E5M2 {
  static constexpr int kBits = 8;
  static constexpr int kShift = 21;
  static constexpr uint32_t kMaxBits = 0x47600000u;     // 57344
  static constexpr uint32_t kNormalBits = 0x38800000u;  // 2^-14
  static constexpr float kUnbias = 0x1p112f;
  static constexpr uint32_t kBias = 15;
};

// Fp8E4M3OfFloat and its kin (number_formats.h) in the low byte of each lane; what the others hold is left open. Adding 2^kShift times
// the value's power of two (the smallest normal one at least) rounds to the format's step, half to even,
// and leaves the mantissa with its leading bit as an integer; the exponent's bits are added to it.
template <class Format, class D>
HWY_INLINE UnsignedOf<D> NarrowToLowByte(D d, hn::Vec<D> value) {
  constexpr int kShift = Format::kShift;
  // The integer starts from what makes up for kShift and for the biases: an even number, modulo 256.
  constexpr uint32_t kOffset = 0u - ((uint32_t{kShift} + 128 - Format::kBias) << (23 - kShift));
  static_assert(kOffset % 2 == 0);
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::Min(MagnitudeBits(d, value), hn::Set(du, Format::kMaxBits));
  const auto power =
      hn::Max(hn::And(bits, hn::Set(du, 0x7F800000u)), hn::Set(du, Format::kNormalBits));
  const auto magic = hn::Add(power, hn::Set(du, (uint32_t{kShift} << 23) + kOffset % 256));
  const auto sum = hn::BitCast(du, hn::Add(hn::BitCast(d, bits), hn::BitCast(d, magic)));
  const auto code = hn::Add(sum, hn::ShiftRight<kShift>(magic));
  const auto sign = hn::ShiftRight<24>(hn::BitCast(du, value));
  return hn::OrAnd(code, sign, hn::Set(du, 0x80u));  // a magnitude is below 0x80
}

// Runs code(d, i) for the elements from i on, with the widest pairs that divide what is left.
template <class Code>
HWY_INLINE void ForPairs(size_t count, const Code& code) {
  size_t i = 0;
  for (; i + kPairStep<decltype(kF32)> <= count; i += kPairStep<decltype(kF32)>) code(kF32, i);
  for (; i < count; i += kPairStep<decltype(kHalfF32)>) code(kHalfF32, i);
}

template <class Format, class Elements>
void EncodeRow(const void* row, float factor, uint8_t* out, size_t count) {
  const auto* values = static_cast<const typename Elements::Type*>(row);
  ForPairs(count, [&](auto d, size_t i) HWY_ATTR {
    const auto by = hn::Set(d, factor);
    const auto pairs = Elements::LoadPairs(d, values + i);
    const auto even = NarrowToLowByte<Format>(d, hn::Mul(pairs.even, by));
    const auto odd = NarrowToLowByte<Format>(d, hn::Mul(pairs.odd, by));
    StoreLowHalves(d, JoinBytes(d, even, odd), out + i);
  });
}

template <class Format, class Elements>
void DecodeRow(const uint8_t* codes, float scale, void* row, size_t count) {
  auto* values = static_cast<typename Elements::Type*>(row);
  ForPairs(count, [&](auto d, size_t i) HWY_ATTR {
    const hn::RebindToUnsigned<decltype(d)> du;
    const auto by = hn::Set(d, scale);
    const auto both = LoadToLowHalves(d, codes + i);
    const auto even = WidenCode<Format>(d, hn::And(both, hn::Set(du, 0xFFu)));
    const auto odd = WidenCode<Format>(d, hn::ShiftRight<8>(both));
    Elements::StorePairs(d, {hn::Mul(even, by), hn::Mul(odd, by)}, values + i);
  });
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
