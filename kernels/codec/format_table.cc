// The page that lists every codec. One row per format; registry.h says what a row means.
#include <charconv>

#include "kernels/codec/affine_quantiser.h"
#include "kernels/codec/fp8_quantiser.h"
#include "kernels/codec/ggml_ops.h"
#include "kernels/codec/kitty_quantiser.h"
#include "kernels/codec/polar_rope_quantiser.h"
#include "kernels/codec/registry.h"
#include "kernels/codec/turbo_quantiser.h"

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

constexpr StreamCodec Rotated(CodecId id, uint8_t bits, uint8_t variant) {
  StreamCodec codec{id, {}};
  codec.params.transform = kTransformRotate;
  codec.params.bits = bits;
  codec.params.variant = variant;
  codec.params.seed = kCodecSeed;
  return codec;
}

constexpr StreamCodec Turbo(uint8_t bits, uint8_t variant) {
  return Rotated(CodecId::kTurbo, bits, variant);
}

constexpr StreamCodec PolarRope() {
  StreamCodec codec{CodecId::kPolarRope, {}};
  codec.params.bits = 4;
  codec.params.group = kPolarRopeGroup;
  return codec;
}

constexpr StreamCodec Qjl(uint16_t size) {
  StreamCodec codec{CodecId::kQjl, {}};
  codec.params.bits = 1;
  codec.params.boosted = size;
  codec.params.seed = kCodecSeed;
  return codec;
}

constexpr FormatRow Both(std::string_view name, const StreamCodec& codec, std::string_view bits,
                         std::string_view error, std::string_view source) {
  return {name, codec, codec, bits, error, source};
}

constexpr std::string_view kTurboSource = "TurboQuant (2025), MSE stage; scale of DRIVE (2021)";

constexpr std::string_view kProdSource = "TurboQuant (2025), product stage";

constexpr StreamCodec Haar(StreamCodec codec) {
  codec.params.transform = kTransformHaar;
  return codec;
}

constexpr std::string_view kHaarSource = "TurboQuant (2025), MSE stage with a dense rotation";

// 32 channels with a bit more.
constexpr StreamCodec TurboTiered(uint8_t bits) {
  StreamCodec codec = Rotated(CodecId::kTurboTiered, bits, kTurboUnbiased);
  codec.params.transform = 0;
  codec.params.boosted = 32;
  return codec;
}

constexpr std::string_view kTieredSource = "TurboQuant (2025), outlier tiers of 32 channels";

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

constexpr std::string_view kPolarSource = "PolarQuant, Han et al. (2025)";

constexpr StreamCodec Affine(uint8_t variant, uint8_t bits, uint16_t group) {
  StreamCodec codec{CodecId::kAffine, {}};
  codec.params.variant = variant;
  codec.params.bits = bits;
  codec.params.group = group;
  return codec;
}

// Keys along tokens, values along channels.
constexpr FormatRow KiviRow(std::string_view name, uint8_t bits, uint16_t group,
                            std::string_view size, std::string_view error) {
  return {name,
          Affine(kAffineTokens, bits, group),
          Affine(kAffineChannels, bits, group),
          size,
          error,
          "KIVI (2024)"};
}

constexpr StreamCodec Kitty(uint16_t boosted) {
  StreamCodec codec{CodecId::kKitty, {}};
  codec.params.bits = 2;
  codec.params.group = kKittyPageTokens;
  codec.params.boosted = boosted;
  return codec;
}
constexpr StreamCodec Uniform(uint8_t bits) { return Rotated(CodecId::kUniform, bits, 0); }

constexpr StreamCodec CacheGen(uint8_t bits) {
  StreamCodec codec{CodecId::kCacheGen, {}};
  codec.params.bits = bits;
  return codec;
}

constexpr std::string_view kUniformSource = "Gish and Pierce (1968); scale of DRIVE (2021)";

constexpr FormatRow kFormats[] = {
    {"raw", Raw(), Raw(), "16", "exact", "-"},
    {"lossless", Lossless(), Lossless(), "10.54 bf16, 13.54 fp16 + 1200/(T D)", "exact",
     "exponents by rANS (DFloat11, 2025)"},
    {"e4m3", Fp8(0), Fp8(0), "8 + 128/(T D)", "|x| 2^-4", "OCP FP8 (2023)"},
    {"e5m2", Fp8(kFp8E5M2), Fp8(kFp8E5M2), "8 + 128/(T D)", "|x| 2^-3", "OCP FP8 (2023)"},
    {"e4m3_p2", Fp8(kFp8PowerOfTwo), Fp8(kFp8PowerOfTwo), "8 + 128/(T D)", "|x| 2^-4",
     "OCP FP8 (2023), scale a power of two"},
    Both("turbo1", Turbo(1, kTurboUnbiased), "1 + 16/D", "relative MSE 0.565", kTurboSource),
    Both("turbo2", Turbo(2, kTurboUnbiased), "2 + 16/D", "relative MSE 0.131", kTurboSource),
    Both("turbo3", Turbo(3, kTurboUnbiased), "3 + 16/D", "relative MSE 0.0352", kTurboSource),
    Both("turbo4", Turbo(4, kTurboUnbiased), "4 + 16/D", "relative MSE 0.0094", kTurboSource),
    Both("turbo1_plain", Turbo(1, kTurboPlain), "1 + 16/D", "relative MSE 0.361",
         "TurboQuant (2025), MSE stage"),
    Both("turbo2_plain", Turbo(2, kTurboPlain), "2 + 16/D", "relative MSE 0.116",
         "TurboQuant (2025), MSE stage"),
    Both("turbo3_plain", Turbo(3, kTurboPlain), "3 + 16/D", "relative MSE 0.034",
         "TurboQuant (2025), MSE stage"),
    Both("turbo4_plain", Turbo(4, kTurboPlain), "4 + 16/D", "relative MSE 0.00931",
         "TurboQuant (2025), MSE stage"),
    Both("turbo1_nc", Turbo(1, kTurboNormed), "1 + 16/D", "relative MSE 0.401",
         "TurboQuant (2025), MSE stage; length restored"),
    Both("turbo2_nc", Turbo(2, kTurboNormed), "2 + 16/D", "relative MSE 0.12",
         "TurboQuant (2025), MSE stage; length restored"),
    Both("turbo3_nc", Turbo(3, kTurboNormed), "3 + 16/D", "relative MSE 0.0343",
         "TurboQuant (2025), MSE stage; length restored"),
    Both("turbo4_nc", Turbo(4, kTurboNormed), "4 + 16/D", "relative MSE 0.00933",
         "TurboQuant (2025), MSE stage; length restored"),
    Both("turbo_prod2", Rotated(CodecId::kTurboProd, 2, 0), "2 + 32/D", "relative MSE 0.57",
         kProdSource),
    Both("turbo_prod3", Rotated(CodecId::kTurboProd, 3, 0), "3 + 32/D", "relative MSE 0.18",
         kProdSource),
    Both("turbo_prod4", Rotated(CodecId::kTurboProd, 4, 0), "4 + 32/D", "relative MSE 0.053",
         kProdSource),
    Both("turbo3_haar", Haar(Turbo(3, kTurboUnbiased)), "3 + 16/D", "relMSE 0.0352", kHaarSource),
    Both("turbo4_haar", Haar(Turbo(4, kTurboUnbiased)), "4 + 16/D", "relMSE 0.0094", kHaarSource),
    Both("turbo2_tiered", TurboTiered(2), "2 + 64/D + 1/T", "relMSE 0.097 on Gaussian rows",
         kTieredSource),
    Both("turbo3_tiered", TurboTiered(3), "3 + 64/D + 1/T", "relMSE 0.028 on Gaussian rows",
         kTieredSource),
    GgmlRow("q8_0", GgmlFormat::kQ8_0, "8.5", "relMSE 2.9e-5"),
    GgmlRow("q4_0", GgmlFormat::kQ4_0, "4.5", "relMSE 7.4e-3"),
    GgmlRow("q4_1", GgmlFormat::kQ4_1, "5", "relMSE 6.1e-3"),
    GgmlRow("q5_0", GgmlFormat::kQ5_0, "5.5", "relMSE 1.8e-3"),
    GgmlRow("q5_1", GgmlFormat::kQ5_1, "6", "relMSE 1.4e-3"),
    GgmlRow("iq4_nl", GgmlFormat::kIq4Nl, "4.5", "relMSE 6.1e-3"),
    KiviRow("kivi4_g32", 4, 32, "5", "relMSE 6.1e-3"),
    KiviRow("kivi4_g128", 4, 128, "4.25", "relMSE 9.9e-3"),
    KiviRow("kivi2_g32", 2, 32, "3", "relMSE 0.154"),
    KiviRow("kivi2_g64", 2, 64, "2.5", "relMSE 0.203"),
    KiviRow("kivi2_g128", 2, 128, "2.25", "relMSE 0.249"),
    {"kitty", Kitty(16), Affine(kAffineChannels, 2, kAffineChannelsMax),
     "keys 2.3125 + 32/D, values 2 + 32/D", "relMSE 0.25 and 0.01 (boosted)", "Kitty (2025)"},
    Both("polar", Rotated(CodecId::kPolar, 4, 0), "3.875", "relative MSE 0.0321", kPolarSource),
    Both("polar_3222", Rotated(CodecId::kPolar, 3, 0), "3.375", "relative MSE 0.0696",
         kPolarSource),
    Both("polar_5333", Rotated(CodecId::kPolar, 5, 0), "4.8125", "relative MSE 0.00854",
         kPolarSource),
    {"polar_rope", PolarRope(), Turbo(4, kTurboUnbiased),
     "4 + 32/128 for keys, 4 + 16/D for values", "one bin of radius and angle; relative MSE 0.0143",
     "PolarQuant, Wu et al. (2025); values turbo4"},
    {"qjl", Qjl(256), Turbo(4, kTurboUnbiased), "272/D for keys, 4 + 16/D for values",
     "score only: keys decode to an estimate for ranking, relative MSE (pi/2) D / 256",
     "QJL (2024); values turbo4"},
    Both("uniform2", Uniform(2), "1.80 + 16/D + 1024/(T D)", "relMSE 0.133", kUniformSource),
    Both("uniform3", Uniform(3), "2.68 + 16/D + 1024/(T D)", "relMSE 0.0358", kUniformSource),
    Both("uniform4", Uniform(4), "3.61 + 16/D + 1024/(T D)", "relMSE 0.0096", kUniformSource),
    Both("uniform5", Uniform(5), "4.58 + 16/D + 1024/(T D)", "relMSE 0.0025", kUniformSource),
    Both("cachegen5", CacheGen(5), "3 to 4.5 + 16/D + 8/T + 1024/(T D)", "max |x| / 30",
         "CacheGen (SIGCOMM 2024), fixed tables"),
    Both("cachegen4", CacheGen(4), "2 to 3.5 + 16/D + 8/T + 1024/(T D)", "max |x| / 14",
         "CacheGen (SIGCOMM 2024), fixed tables"),
};

constexpr PresetRow kPresets[] = {
    {"fp8", "e4m3+centre/e4m3", "the default: half the bytes, near-exact"},
    {"balanced", "turbo4+centre/turbo4", "a quarter of the bytes; skip the edge layers"},
    {"q8q4", "q8_0/q4_0", "keys near-exact, values in 4 bits: 6.5 bits per element"},
    {"kivi4", "kivi4_g32", "4 bits, keys along tokens, values along channels"},
    {"kivi2", "kivi2_g32", "2 bits, the same: a third of fp8's bytes"},
    {"compact", "uniform3+centre/uniform3", "a sixth of the bytes, for long contexts"},
    {"compact2", "uniform2+centre/uniform2",
     "an eighth of the bytes, for caches that would be lost"},
    {"cachegen", "cachegen5/cachegen4", "as CacheGen: a quarter to a sixth of the bytes"},
};

// "int4_tokens_g32", "int3_channels_g128": affine codes of any width, axis and group, for keys and values alike.
std::optional<StreamCodec> AffineByName(std::string_view name) {
  const auto take = [&](std::string_view prefix) {
    if (!name.starts_with(prefix)) return false;
    name.remove_prefix(prefix.size());
    return true;
  };
  const auto number = [&](uint16_t* value) {
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), *value);
    if (error != std::errc() || name.front() == '0') return false;
    name.remove_prefix(static_cast<size_t>(end - name.data()));
    return true;
  };
  uint16_t bits = 0, group = 0;
  if (!take("int") || !number(&bits)) return std::nullopt;
  const bool tokens = take("_tokens_g");
  if (!tokens && !take("_channels_g")) return std::nullopt;
  if (!number(&group) || !name.empty()) return std::nullopt;
  const bool known = bits == 2 || bits == 3 || bits == 4 || bits == 8;
  if (!known || group % 16 != 0 || group < 16 || group > 256) return std::nullopt;
  return Affine(tokens ? kAffineTokens : kAffineChannels, static_cast<uint8_t>(bits), group);
}

}  // namespace

std::optional<StreamCodec> FindFormat(std::string_view name, bool key) {
  for (const FormatRow& row : kFormats) {
    if (row.name == name) return key ? row.key : row.value;
  }
  return AffineByName(name);
}

std::span<const FormatRow> Formats() { return kFormats; }
std::span<const PresetRow> Presets() { return kPresets; }

Fidelity FidelityOf(const StreamCodec& codec) {
  switch (codec.id) {
    case CodecId::kRaw:
    case CodecId::kLossless:
      return Fidelity::kExact;
    case CodecId::kFp8:
      return Fidelity::kNear;
    case CodecId::kTurboProd:  // at every size the error of a turbo with a bit less, and more
      return Fidelity::kCompact;
    case CodecId::kPolar:  // the error of turbo with three fifths of a bit less
      return codec.params.bits == 5 ? Fidelity::kBalanced : Fidelity::kCompact;
    default:
      break;
  }
  return codec.params.bits >= 8   ? Fidelity::kNear
         : codec.params.bits >= 4 ? Fidelity::kBalanced
                                  : Fidelity::kCompact;
}

}  // namespace larder
