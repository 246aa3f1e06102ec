// How blocks are stored: the fields of the configuration and what their texts mean.
#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "kernels/codec/registry.h"
#include "proto/contract/outcomes.h"
#include "server/config_field_kinds.h"

namespace larder::server {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

bool IsPlan(std::string_view name) {
  std::string why;
  return ParsePlan(name, &why).has_value();
}

// "0-1+30" to pairs of a first and a last layer.
bool ParseLayers(absl::string_view text, std::vector<std::pair<uint32_t, uint32_t>>& ranges) {
  for (const auto range : absl::StrSplit(text, '+')) {
    const size_t dash = range.find('-');
    uint32_t first, last;
    if (!absl::SimpleAtoi(range.substr(0, dash), &first)) return false;
    last = first;
    if (dash != range.npos && !absl::SimpleAtoi(range.substr(dash + 1), &last)) return false;
    if (last < first || last >= kLayersMax) return false;
    ranges.emplace_back(first, last);
  }
  return true;
}

}  // namespace

std::optional<std::vector<std::pair<std::string, std::string>>> ParseModelPlans(
    std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (text.empty()) return pairs;
  for (const auto part : absl::StrSplit(View(text), ',')) {
    const size_t equals = part.find('=');
    if (equals == part.npos || equals == 0) return std::nullopt;
    std::string model(part.substr(0, equals)), plan(part.substr(equals + 1));
    const bool again = std::any_of(pairs.begin(), pairs.end(),
                                   [&](const auto& pair) { return pair.first == model; });
    if (again || !IsPlan(plan)) return std::nullopt;
    pairs.emplace_back(std::move(model), std::move(plan));
  }
  return pairs;
}

std::optional<std::vector<LayerPlanRow>> ParseLayerPlans(std::string_view text) {
  std::vector<LayerPlanRow> rows;
  if (text.empty()) return rows;
  for (const auto part : absl::StrSplit(View(text), ',')) {
    const size_t equals = part.find('=');
    if (equals == part.npos) return std::nullopt;
    const absl::string_view layers = part.substr(0, equals);
    const std::string plan(part.substr(equals + 1));
    const size_t slash = layers.rfind('/');  // a model's name may have slashes of its own
    const std::string model(slash == layers.npos ? "" : layers.substr(0, slash));
    std::vector<std::pair<uint32_t, uint32_t>> ranges;
    if (slash == 0 || !IsPlan(plan)) return std::nullopt;
    if (!ParseLayers(slash == layers.npos ? layers : layers.substr(slash + 1), ranges)) {
      return std::nullopt;
    }
    for (const auto& range : ranges) {
      const bool again = std::any_of(rows.begin(), rows.end(), [&](const LayerPlanRow& row) {
        return row.model == model && range.first <= row.last && row.first <= range.second;
      });
      if (again || rows.size() == kCodecLayerRowsMax) return std::nullopt;
      rows.push_back({model, range.first, range.second, plan});
    }
  }
  return rows;
}

std::vector<ConfigField> CodecFields() {
  static const std::vector<std::string> kFidelityWords = [] {
    std::vector<std::string> words;
    for (const Fidelity fidelity :
         {Fidelity::kCompact, Fidelity::kBalanced, Fidelity::kNear, Fidelity::kExact}) {
      words.emplace_back(FidelityName(fidelity));
    }
    return words;
  }();
  static const std::vector<std::string> kDeviceWords = {"auto", "cpu", "gpu"};
  return {
      TextField("codec", "PLAN", "How blocks are stored", "a codec plan, like raw, fp8 or q8q4",
                "see 'larder codec list'", &Config::codec, IsPlan),
      TextField("codec_by_model", "MODEL=PLAN,...", "Plans of single models",
                "pairs of a model's name and a codec plan, each model once",
                "write them as MODEL=PLAN,MODEL=PLAN; see 'larder codec list' for the plans",
                &Config::codec_by_model,
                [](std::string_view text) { return ParseModelPlans(text).has_value(); }),
      TextField("codec_layers", "[MODEL/]LAYERS=PLAN,...", "Plans of single layers",
                "pairs of layers and a codec plan, no layer of a model twice",
                "write them as 0-1+30=raw or MODEL/0-1+30=raw, separated by commas",
                &Config::codec_layers,
                [](std::string_view text) { return ParseLayerPlans(text).has_value(); }),
      TextField("ssd_codec", "PLAN", "How blocks are stored on SSD, when lower than in memory",
                "a codec plan, like balanced or compact, or nothing", "see 'larder codec list'",
                &Config::ssd_codec,
                [](std::string_view text) { return text.empty() || IsPlan(text); }),
      TextField("ssd_codec_by_model", "MODEL=PLAN,...", "Plans on SSD of single models",
                "pairs of a model's name and a codec plan, each model once",
                "write them as MODEL=PLAN,MODEL=PLAN; see 'larder codec list' for the plans",
                &Config::ssd_codec_by_model,
                [](std::string_view text) { return ParseModelPlans(text).has_value(); }),
      WordField(
          "codec_fidelity_min", "Lowest fidelity that a put may ask for", kFidelityWords,
          [](const Config& config) {
            return kFidelityWords[static_cast<size_t>(config.codec_fidelity_min) -
                                  static_cast<size_t>(Fidelity::kCompact)];
          },
          [](size_t position, Config& config) {
            config.codec_fidelity_min =
                static_cast<Fidelity>(position + static_cast<size_t>(Fidelity::kCompact));
          }),
      WordField(
          "codec_device", "Where blocks are encoded on ingest", kDeviceWords,
          [](const Config& config) {
            return kDeviceWords[static_cast<size_t>(config.codec_device)];
          },
          [](size_t position, Config& config) {
            config.codec_device = static_cast<CodecDevice>(position);
          }),
      CountField("codec_sinks", "First tokens of a sequence that stay raw", &Config::codec_sinks, 0,
                 kSinksMax),
      CountField("codec_edge_layers", "First and last layers that stay near-exact",
                 &Config::codec_edge_layers, 0, kCodecEdgeLayersMax),
  };
}

}  // namespace larder::server
