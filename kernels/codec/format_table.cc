// The page that lists every codec. One row per format; registry.h says what a row means.
#include "kernels/codec/fp8_quantiser.h"
#include "kernels/codec/registry.h"

namespace larder {
namespace {

constexpr StreamCodec Raw() { return {}; }

constexpr StreamCodec Lossless() { return {CodecId::kLossless, {}}; }

constexpr StreamCodec Fp8(uint8_t variant) {
  StreamCodec codec{CodecId::kFp8, {}};
  codec.params.variant = variant;
  codec.params.bits = 8;
  return codec;
}

constexpr FormatRow kFormats[] = {
    {"raw", Raw(), Raw(), "16", "exact", "-"},
    {"lossless", Lossless(), Lossless(), "10.6 bf16, 13.6 fp16 + 8 KiB/(T D)", "exact",
     "exponents by rANS (DFloat11, 2025)"},
    {"e4m3", Fp8(0), Fp8(0), "8 + 128/(T D)", "|x| 2^-4", "OCP FP8 (2023)"},
    {"e5m2", Fp8(kFp8E5M2), Fp8(kFp8E5M2), "8 + 128/(T D)", "|x| 2^-3", "OCP FP8 (2023)"},
    {"e4m3_p2", Fp8(kFp8PowerOfTwo), Fp8(kFp8PowerOfTwo), "8 + 128/(T D)", "|x| 2^-4",
     "OCP FP8 (2023), scale a power of two"},
};

constexpr PresetRow kPresets[] = {
    {"fp8", "e4m3+centre/e4m3", "the default: half the bytes, near-exact"},
};

}  // namespace

std::span<const FormatRow> Formats() { return kFormats; }
std::span<const PresetRow> Presets() { return kPresets; }

Fidelity FidelityOf(const StreamCodec& codec) {
  switch (codec.id) {
    case CodecId::kRaw:
    case CodecId::kLossless:
      return Fidelity::kExact;
    case CodecId::kFp8:
      return Fidelity::kNear;
    default:
      break;
  }
  return codec.params.bits >= 8   ? Fidelity::kNear
         : codec.params.bits >= 4 ? Fidelity::kBalanced
                                  : Fidelity::kCompact;
}

}  // namespace larder
