#include "kernels/codec/fp8_quantiser.h"

#include <cmath>
#include <cstring>

#include "kernels/codec/fp8_ops.h"
#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

Fp8Format FormatOf(const CodecParams& params) {
  return (params.variant & kFp8E5M2) != 0 ? Fp8Format::kE5M2 : Fp8Format::kE4M3;
}

}  // namespace

bool Fp8Quantiser::Accepts(const CodecParams& params, TileShape) const {
  return (params.variant & ~(kFp8E5M2 | kFp8PowerOfTwo)) == 0 && params.bits == 8 &&
         params.group == 0 && params.boosted == 0;
}

uint64_t Fp8Quantiser::Bytes(const CodecParams&, TileShape shape) const {
  return kFp8ScaleBytes + shape.elements();
}

bool Fp8Quantiser::EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                              const SourceElements& source, std::byte* out) const {
  const float scale = Fp8ScaleOf(context.max_magnitude, context.params.variant);
  if (!Fp8ScaleHolds(context.params.transform, scale)) return false;
  if (begin == 0) {
    std::memset(out, 0, kFp8ScaleBytes);
    std::memcpy(out, &scale, sizeof(scale));
  }
  const Fp8Ops& ops = Fp8OpsOf(context.isa);
  const size_t dim = context.shape.head_dim;
  auto* codes = reinterpret_cast<uint8_t*>(out) + kFp8ScaleBytes + begin * dim;
  for (uint32_t i = 0; i < count; ++i, codes += dim) {
    ops.encode(FormatOf(context.params), source.type, source.rows[i], 1.0f / scale, codes, dim);
  }
  return true;
}

void Fp8Quantiser::DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                              const std::byte* in, const TargetElements& target) const {
  float scale;
  std::memcpy(&scale, in, sizeof(scale));
  if (!Fp8ScaleHolds(context.params.transform, scale)) scale = 0;  // no encoder wrote it
  const Fp8Ops& ops = Fp8OpsOf(context.isa);
  const size_t dim = context.shape.head_dim;
  const auto* codes = reinterpret_cast<const uint8_t*>(in) + kFp8ScaleBytes + begin * dim;
  for (uint32_t i = 0; i < count; ++i, codes += dim) {
    ops.decode(FormatOf(context.params), target.type, codes, scale, target.rows[i], dim);
  }
}

}  // namespace larder
