#include "client/cli/codec_list.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_format.h"
#include "client/cli/codec_eval.h"
#include "client/cli/codec_report.h"
#include "client/cli/kv_profile.h"
#include "client/cli/table.h"
#include "proto/contract/errors.h"
#include "proto/contract/outcomes.h"

namespace larder::cli {
namespace {

constexpr uint32_t kTokens = 256;
constexpr uint32_t kHeadDim = 128;

const FormatRow* FindFormat(std::string_view stream) {
  for (const FormatRow& row : Formats()) {
    if (row.name == stream.substr(0, stream.find('+'))) return &row;
  }
  return nullptr;
}

// "x" where both are x, "K x; V y" otherwise.
std::string Both(const std::string& key, const std::string& value) {
  return key == value ? key : "K " + key + "; V " + value;
}

std::string BitsOf(const FormatRow& row, const StreamCodec& codec) {
  const bool centred = (codec.params.transform & kTransformCentre) != 0;
  return std::string(row.bits) + (centred ? " + 16/T" : "");
}

absl::StatusOr<CodecListing> ListPlan(const CodecEval& eval, std::string_view name,
                                      std::string_view text) {
  std::string why;
  const auto plan = ParsePlan(name, &why);
  if (!plan) return Bug("the registry's '" + std::string(name) + "' is no plan: " + why);
  const size_t slash = text.find('/');
  const FormatRow* key = FindFormat(text.substr(0, slash));
  const FormatRow* value = slash == text.npos ? key : FindFormat(text.substr(slash + 1));
  if (key == nullptr || value == nullptr) return Bug("no format of '" + std::string(text) + "'");
  const auto score = eval.Score(*plan);
  if (!score.ok()) return score.status();

  CodecListing listing;
  listing.name = name;
  listing.plan = text;
  listing.fidelity = FidelityOf(*plan);
  listing.bits = Both(BitsOf(*key, plan->key), BitsOf(*value, plan->value));
  listing.key_bits = score->key_bits;
  listing.value_bits = score->value_bits;
  listing.error = Both(std::string(key->error), std::string(value->error));
  listing.needs = (plan->key.params.transform & kTransformUnrope) != 0 ? "RoPE" : "-";
  listing.source = Both(std::string(key->source), std::string(value->source));
  return listing;
}

}  // namespace

absl::StatusOr<std::vector<CodecListing>> ListCodecs() {
  KvProfileOptions options;
  options.profile = KvProfile::kGaussian;
  options.layers = 1;
  options.heads = 1;
  options.head_dim = kHeadDim;
  options.tokens = kTokens;
  const KvCache cache = MakeKv(options);
  const auto eval = CodecEval::Create(cache, {.rope = RopeOf(options), .queries = 1, .repeats = 0});
  if (!eval.ok()) return eval.status();
  std::vector<CodecListing> codecs;
  for (const PresetRow& row : Presets()) {
    auto listing = ListPlan(*eval, row.name, row.plan);
    if (!listing.ok()) return listing.status();
    listing->source = row.use;
    codecs.push_back(std::move(*listing));
  }
  for (const FormatRow& row : Formats()) {
    auto listing = ListPlan(*eval, row.name, row.name);
    if (!listing.ok()) return listing.status();
    codecs.push_back(std::move(*listing));
  }
  return codecs;
}

std::string CodecListText(const std::vector<CodecListing>& codecs) {
  Table table({{"codec"},
               {"keys/values"},
               {"fidelity"},
               {"bits per element"},
               {"K", Align::kRight},
               {"V", Align::kRight},
               {"error"},
               {"needs"},
               {"source, or use of a preset"}});
  for (const CodecListing& codec : codecs) {
    table.AddRow({codec.name, codec.plan == codec.name ? "" : codec.plan,
                  std::string(FidelityName(codec.fidelity)), codec.bits,
                  absl::StrFormat("%.3f", codec.key_bits),
                  absl::StrFormat("%.3f", codec.value_bits), codec.error, codec.needs,
                  codec.source});
  }
  return table.ToString() +
         absl::StrFormat(
             "\nT tokens of a block, D channels of a head. K, V: measured at T=%d, D=%d on "
             "Gaussian "
             "values.\nA plan is a preset, a format, or KEYS/VALUES; +centre, +unrope, +rotate and "
             "+haar follow a format's name.\nint2_tokens_g32 and its like are formats too: affine "
             "codes of 2, 3, 4 or 8 bits\nalong tokens or channels, in groups of 16 to 256.\nRoPE: "
             "keys are turned back to position 0 where the model's rotary "
             "embedding is known; otherwise centred as they are.\n",
             kTokens, kHeadDim);
}

nlohmann::ordered_json CodecListJson(const std::vector<CodecListing>& codecs) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const CodecListing& codec : codecs) {
    json.push_back({{"name", codec.name},
                    {"plan", codec.plan},
                    {"fidelity", std::string(FidelityName(codec.fidelity))},
                    {"bits_formula", codec.bits},
                    {"key_bits_per_element", codec.key_bits},
                    {"value_bits_per_element", codec.value_bits},
                    {"error", codec.error},
                    {"needs", codec.needs},
                    {"source", codec.source}});
  }
  return {{"tokens", kTokens}, {"head_dim", kHeadDim}, {"codecs", json}};
}

}  // namespace larder::cli
