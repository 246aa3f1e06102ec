// The page that lists every codec. One row per format; registry.h says what a row means.
#include "kernels/codec/fp8_quantiser.h"
#include "kernels/codec/ggml_ops.h"
#include "kernels/codec/registry.h"

namespace larder {
namespace {

constexpr StreamCodec Raw() { return {}; }

constexpr StreamCodec Fp8(uint8_t variant) {
  StreamCodec codec{CodecId::kFp8, {}};
  codec.params.variant = variant;
  codec.params.bits = 8;
  return codec;
}

constexpr StreamCodec Ggml(GgmlFormat format) {
  StreamCodec codec{CodecId::kGgml, {}};
  codec.params.variant = static_cast<uint8_t>(format);
  codec.params.bits = static_cast<uint8_t>(BlockOf(format).bits);
  return codec;
}

constexpr FormatRow GgmlRow(std::string_view name, GgmlFormat format, std::string_view bits,
                            std::string_view error) {
  return {name, Ggml(format), Ggml(format), bits, error, "ggml"};
}

constexpr FormatRow kFormats[] = {
    {"raw", Raw(), Raw(), "16", "exact", "-"},
    {"e4m3", Fp8(0), Fp8(0), "8 + 128/(T D)", "|x| 2^-4", "OCP FP8 (2023)"},
    {"e5m2", Fp8(kFp8E5M2), Fp8(kFp8E5M2), "8 + 128/(T D)", "|x| 2^-3", "OCP FP8 (2023)"},
    {"e4m3_p2", Fp8(kFp8PowerOfTwo), Fp8(kFp8PowerOfTwo), "8 + 128/(T D)", "|x| 2^-4",
     "OCP FP8 (2023), scale a power of two"},
    GgmlRow("q8_0", GgmlFormat::kQ8_0, "8.5", "relMSE 2.9e-5"),
    GgmlRow("q4_0", GgmlFormat::kQ4_0, "4.5", "relMSE 7.4e-3"),
    GgmlRow("q4_1", GgmlFormat::kQ4_1, "5", "relMSE 6.1e-3"),
    GgmlRow("q5_0", GgmlFormat::kQ5_0, "5.5", "relMSE 1.8e-3"),
    GgmlRow("q5_1", GgmlFormat::kQ5_1, "6", "relMSE 1.4e-3"),
    GgmlRow("iq4_nl", GgmlFormat::kIq4Nl, "4.5", "relMSE 6.1e-3"),
};

constexpr PresetRow kPresets[] = {
    {"fp8", "e4m3+centre/e4m3", "the default: half the bytes, near-exact"},
    {"q8q4", "q8_0/q4_0", "keys near-exact, values in 4 bits: 6.5 bits per element"},
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
