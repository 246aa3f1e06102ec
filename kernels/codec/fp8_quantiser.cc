#include "kernels/codec/fp8_quantiser.h"

#include <cmath>
#include <cstring>

#include "kernels/codec/fp8_ops.h"
#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

constexpr uint64_t kScaleBytes = 16;  // the codes behind it stay aligned

Fp8Format FormatOf(const CodecParams& params) {
  return (params.variant & kFp8E5M2) != 0 ? Fp8Format::kE5M2 : Fp8Format::kE4M3;
}

float ScaleOf(float max_magnitude, uint8_t variant) {
  const float largest = (variant & kFp8E5M2) != 0 ? kFp8E5M2Max : kFp8E4M3Max;
  float scale = max_magnitude / largest;
  // Below this 1 / scale would overflow; values that small are far below any format's step.
  constexpr float kScaleMin = 0x1p-120f;
  if (scale < kScaleMin) scale = kScaleMin;
  if ((variant & kFp8PowerOfTwo) == 0) return scale;
  const uint32_t bits = BitsOf(scale);
  return FloatOfBits((bits + 0x7FFFFFu) & 0x7F800000u);
}

}  // namespace

bool Fp8Quantiser::Accepts(const CodecParams& params, TileShape) const {
  return (params.variant & ~(kFp8E5M2 | kFp8PowerOfTwo)) == 0 && params.bits == 8 &&
         params.group == 0 && params.boosted == 0;
}

uint64_t Fp8Quantiser::Bytes(const CodecParams&, TileShape shape) const {
  return kScaleBytes + shape.elements();
}

bool Fp8Quantiser::EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                              const SourceElements& source, std::byte* out) const {
  const float scale = ScaleOf(context.max_magnitude, context.params.variant);
  if (!std::isfinite(scale)) return false;
  if (begin == 0) {
    std::memset(out, 0, kScaleBytes);
    std::memcpy(out, &scale, sizeof(scale));
  }
  const Fp8Ops& ops = Fp8OpsOf(context.isa);
  const size_t dim = context.shape.head_dim;
  auto* codes = reinterpret_cast<uint8_t*>(out) + kScaleBytes + begin * dim;
  for (uint32_t i = 0; i < count; ++i, codes += dim) {
    ops.encode(FormatOf(context.params), source.type, source.rows[i], 1.0f / scale, codes, dim);
  }
  return true;
}

void Fp8Quantiser::DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                              const std::byte* in, const TargetElements& target) const {
  float scale;
  std::memcpy(&scale, in, sizeof(scale));
  const Fp8Ops& ops = Fp8OpsOf(context.isa);
  const size_t dim = context.shape.head_dim;
  const auto* codes = reinterpret_cast<const uint8_t*>(in) + kScaleBytes + begin * dim;
  for (uint32_t i = 0; i < count; ++i, codes += dim) {
    ops.decode(FormatOf(context.params), target.type, codes, scale, target.rows[i], dim);
  }
}

}  // namespace larder
