#include "kernels/codec/registry.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/codec/affine_quantiser.h"
#include "kernels/codec/cachegen_quantiser.h"
#include "kernels/codec/fp8_quantiser.h"
#include "kernels/codec/ggml_quantiser.h"
#include "kernels/codec/kitty_quantiser.h"
#include "kernels/codec/lossless_codec.h"
#include "kernels/codec/polar_quantiser.h"
#include "kernels/codec/polar_rope_quantiser.h"
#include "kernels/codec/qjl_quantiser.h"
#include "kernels/codec/row_quantiser.h"
#include "kernels/codec/turbo_prod_quantiser.h"
#include "kernels/codec/turbo_quantiser.h"
#include "kernels/codec/turbo_tiered_quantiser.h"
#include "kernels/codec/uniform_quantiser.h"

namespace larder {
namespace {

// Everything a family needs to be known by its id.
struct CodecRow {
  CodecId id;
  const TileCodec* codec;
};

std::span<const CodecRow> Codecs() {
  static const LosslessCodec lossless;
  static const Fp8Quantiser fp8;
  static const DirectCodec fp8_codec(fp8);
  static const TurboQuantiser turbo;
  static const QuantiserCodec turbo_codec(turbo);
  static const TurboProdQuantiser turbo_prod;
  static const QuantiserCodec turbo_prod_codec(turbo_prod);
  static const TurboTieredQuantiser turbo_tiered;
  static const QuantiserCodec turbo_tiered_codec(turbo_tiered);
  static const GgmlQuantiser ggml;
  static const DirectCodec ggml_codec(ggml);
  static const AffineQuantiser affine;
  static const DirectCodec affine_codec(affine);
  static const KittyQuantiser kitty;
  static const DirectCodec kitty_codec(kitty);
  static const PolarQuantiser polar;
  static const QuantiserCodec polar_codec(polar);
  static const PolarRopeQuantiser polar_rope;
  static const QuantiserCodec polar_rope_codec(polar_rope);
  static const QjlQuantiser qjl;
  static const QuantiserCodec qjl_codec(qjl);
  static const UniformQuantiser uniform;
  static const SymbolCodec uniform_codec(uniform);
  static const CacheGenQuantiser cachegen;
  static const SymbolCodec cachegen_codec(cachegen);
  static const CodecRow rows[] = {
      {CodecId::kLossless, &lossless},
      {CodecId::kFp8, &fp8_codec},
      {CodecId::kGgml, &ggml_codec},
      {CodecId::kAffine, &affine_codec},
      {CodecId::kKitty, &kitty_codec},
      {CodecId::kTurbo, &turbo_codec},
      {CodecId::kTurboProd, &turbo_prod_codec},
      {CodecId::kTurboTiered, &turbo_tiered_codec},
      {CodecId::kPolar, &polar_codec},
      {CodecId::kPolarRope, &polar_rope_codec},
      {CodecId::kQjl, &qjl_codec},
      {CodecId::kUniform, &uniform_codec},
      {CodecId::kCacheGen, &cachegen_codec},
  };
  return rows;
}

std::string Known() {
  std::string known;
  for (const PresetRow& row : Presets()) known.append(known.empty() ? "" : ", ").append(row.name);
  for (const FormatRow& row : Formats()) known.append(", ").append(row.name);
  return known + ", int{2,3,4,8}_{tokens,channels}_g{16 to 256}";
}

// "q4_0+centre": the format's codec for keys or for values, with the modifiers.
std::optional<StreamCodec> ParseStream(std::string_view name, bool key, std::string* why) {
  const size_t plus = name.find('+');
  const std::string_view base = name.substr(0, plus);
  const std::optional<StreamCodec> format = FindFormat(base, key);
  if (!format) {
    *why = "unknown codec '" + std::string(base) + "'; known are " + Known();
    return std::nullopt;
  }
  StreamCodec codec = *format;
  std::string_view modifiers = plus == name.npos ? "" : name.substr(plus + 1);
  while (!modifiers.empty()) {
    const size_t end = modifiers.find('+');
    const std::string_view modifier = modifiers.substr(0, end);
    if (codec.id == CodecId::kRaw || codec.id == CodecId::kLossless) {
      *why = "'" + std::string(base) + "' is exact and takes no modifiers";
      return std::nullopt;
    }
    if (modifier == "centre") {
      codec.params.transform |= key ? kTransformUnrope | kTransformCentre : kTransformCentre;
    } else if (modifier == "unrope") {
      codec.params.transform |= kTransformUnrope;
    } else if (modifier == "rotate") {
      codec.params.transform |= kTransformRotate;
    } else if (modifier == "haar") {
      codec.params.transform = (codec.params.transform & ~kTransformRotate) | kTransformHaar;
      codec.params.seed = kCodecSeed;
    } else {
      *why = "unknown modifier '+" + std::string(modifier) +
             "'; known are +centre, +unrope, +rotate and +haar";
      return std::nullopt;
    }
    modifiers = end == modifiers.npos ? "" : modifiers.substr(end + 1);
  }
  return codec;
}

}  // namespace

bool RopeFieldsHold(const CodecParams& params) {
  if ((params.transform & kTransformUnrope) == 0) {
    return params.rope_pairing == 0 && params.rope_scaling == 0 && params.rope_rotary_dim == 0 &&
           params.rope_theta == 0 && params.rope_scaling_factor == 1 &&
           params.rope_attention_factor == 1;
  }
  // Wide enough for every published model, narrow enough that every power stays a normal number.
  const auto within = [](double value, double low, double high) {
    return std::isfinite(value) && value >= low && value <= high;
  };
  return params.rope_pairing >= 1 && params.rope_pairing <= 2 &&
         params.rope_scaling <= static_cast<uint8_t>(RopeScaling::kLlama3) &&
         params.rope_rotary_dim >= 16 && params.rope_rotary_dim % 16 == 0 &&
         within(params.rope_theta, 1.0, 1e12) && within(params.rope_scaling_factor, 1.0, 1e6) &&
         within(params.rope_attention_factor, 1e-3, 1e3);
}

std::optional<CodecPlan> ParsePlan(std::string_view name, std::string* why) {
  for (const PresetRow& row : Presets()) {
    if (row.name != name) continue;
    auto plan = ParsePlan(row.plan, why);
    if (plan) plan->name = name;
    return plan;
  }
  const size_t slash = name.find('/');
  const std::string_view value = slash == name.npos ? name : name.substr(slash + 1);
  const auto key_codec = ParseStream(name.substr(0, slash), /*key=*/true, why);
  if (!key_codec) return std::nullopt;
  auto value_codec = ParseStream(value, /*key=*/false, why);
  if (!value_codec) return std::nullopt;
  // One name for both speaks of keys when it says centre or unrope: values have no offset worth storing and no rotation.
  if (slash == name.npos) {
    value_codec->params.transform &= ~(kTransformCentre | kTransformUnrope);
  } else if ((value_codec->params.transform & kTransformUnrope) != 0) {
    *why = "'+unrope' in '" + std::string(value) + "' is for keys: values have no rotation";
    return std::nullopt;
  }
  return CodecPlan{std::string(name), *key_codec, *value_codec};
}

const TileCodec* FindTileCodec(CodecId id) {
  for (const CodecRow& row : Codecs()) {
    if (row.id == id) return row.codec;
  }
  return nullptr;
}

Fidelity FidelityOf(const CodecPlan& plan) {
  return std::min(FidelityOf(plan.key), FidelityOf(plan.value));
}

CodecDescriptor DescriptorOf(const StreamCodec& codec) {
  CodecDescriptor descriptor{};
  descriptor.codec_id = static_cast<uint16_t>(codec.id);
  if (codec.id == CodecId::kRaw) return descriptor;
  descriptor.params_bytes = sizeof(CodecParams);
  std::memcpy(descriptor.params.data(), &codec.params, sizeof(CodecParams));
  return descriptor;
}

std::optional<StreamCodec> ReadDescriptor(const CodecDescriptor& descriptor) {
  StreamCodec codec;
  codec.id = static_cast<CodecId>(descriptor.codec_id);
  if (codec.id == CodecId::kRaw) {
    if (descriptor.params_bytes != 0) return std::nullopt;
    return codec;
  }
  if (FindTileCodec(codec.id) == nullptr || descriptor.params_bytes != sizeof(CodecParams)) {
    return std::nullopt;
  }
  std::memcpy(&codec.params, descriptor.params.data(), sizeof(CodecParams));
  const CodecParams& params = codec.params;
  if (params.reserved != 0 || params.reserved1 != 0 || !RopeFieldsHold(params)) return std::nullopt;
  // A new seed costs its reader a random matrix, up to 60 ms: frames may not choose their own.
  const bool has_matrix = codec.id == CodecId::kTurboProd || codec.id == CodecId::kQjl ||
                          (params.transform & kTransformHaar) != 0;
  if (has_matrix && params.seed != kCodecSeed) return std::nullopt;
  return codec;
}

}  // namespace larder
