#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "client/cli/codec_archive.h"
#include "client/cli/codec_eval.h"
#include "client/cli/codec_list.h"
#include "client/cli/codec_report.h"
#include "client/cli/codec_sizes.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_file.h"
#include "client/cli/kv_profile.h"
#include "client/cli/kv_safetensors.h"
#include "client/cli/models.h"
#include "client/cli/progress.h"
#include "client/cli/quantity.h"
#include "proto/contract/errors.h"
#include "proto/contract/outcomes.h"

namespace larder::cli {
namespace {

constexpr uint64_t kSyntheticBytesMax = uint64_t{16} << 30;

// Of a cache that comes from a file: which rotation its keys have.
struct RopeOptions {
  std::string pairing = "half";
  double theta = 0;         // 0: unknown
  uint32_t rotary_dim = 0;  // 0: the whole head
  uint64_t token_begin = 0;
};

struct ListOptions {
  std::string json;
};

struct SizesOptions {
  std::string model = "llama-3-8b";
  uint32_t block_tokens = 256;
  SizeOptions sizes;
  std::string json;
};

struct EvalOptions {
  std::vector<std::string> codecs = {"all"};
  std::string input;
  std::string synthetic = "keys-b";
  KvProfileOptions profile;
  RopeOptions rope;
  uint32_t block_tokens = 256;
  uint32_t queries = 64;
  std::string json;
  std::string plot;
};

struct EncodeOptions {
  std::string codec;
  std::string in;
  std::string out;
  RopeOptions rope;
  uint32_t block_tokens = 256;
  uint16_t sinks = 0;
};

struct DecodeOptions {
  std::string in;
  std::string out;
};

absl::StatusOr<RopeParams> RopeOf(const RopeOptions& options, uint32_t head_dim) {
  RopeParams rope;
  if (options.theta == 0) return rope;
  const uint32_t rotary_dim = options.rotary_dim == 0 ? head_dim : options.rotary_dim;
  if (rotary_dim > head_dim || rotary_dim % 16 != 0) {
    return InvalidField("--rotary-dim", std::to_string(rotary_dim),
                        "a multiple of 16, at most the head_dim of " + std::to_string(head_dim));
  }
  rope.pairing = options.pairing == "half" ? 1 : 2;
  rope.rotary_dim = static_cast<uint16_t>(rotary_dim);
  rope.theta = options.theta;
  return rope;
}

absl::StatusOr<std::vector<CodecPlan>> PlansOf(const std::vector<std::string>& names) {
  std::vector<std::string> all;
  for (const PresetRow& row : Presets()) all.emplace_back(row.name);
  for (const FormatRow& row : Formats()) all.emplace_back(row.name);
  std::vector<CodecPlan> plans;
  for (const std::string& name : names.size() == 1 && names[0] == "all" ? all : names) {
    std::string why;
    auto plan = ParsePlan(name, &why);
    if (!plan) return InvalidField("--codec", name, "a plan: " + why);
    plans.push_back(std::move(*plan));
  }
  return plans;
}

int RunList(const Session&, const ListOptions& options) {
  const auto codecs = ListCodecs();
  if (!codecs.ok()) return Fail(codecs.status());
  if (!options.json.empty()) {
    const absl::Status written = WriteJson(CodecListJson(*codecs), options.json);
    return written.ok() ? kExitOk : Fail(written);
  }
  std::fputs(CodecListText(*codecs).c_str(), stdout);
  return kExitOk;
}

int RunSizes(const Session&, const SizesOptions& options) {
  const auto preset = FindModelPreset(options.model);
  if (!preset.ok()) return Fail(preset.status());
  if (preset->kind != GroupKind::kAttention) {
    return Fail(InvalidField("model", options.model, "a preset with keys and values"));
  }
  const Manifest manifest = ManifestOf(*preset, options.block_tokens);
  SizeOptions sizes = options.sizes;
  sizes.shape = ShapeOf(manifest, manifest.groups.front());
  const std::vector<PlanSize> rows = SizesOfPlans(sizes);
  if (!options.json.empty()) {
    const absl::Status written = WriteJson(SizesJson(sizes, rows), options.json);
    return written.ok() ? kExitOk : Fail(written);
  }
  std::fputs(SizesText(sizes, rows).c_str(), stdout);
  return kExitOk;
}

// What to measure on.
struct EvalInput {
  std::string source;
  KvCache cache;
  RopeParams rope;
};

absl::StatusOr<EvalInput> LoadInput(const EvalOptions& options) {
  EvalInput input;
  if (!options.input.empty()) {
    auto cache = ReadKv(options.input, options.rope.token_begin);
    if (!cache.ok()) return cache.status();
    const auto rope = RopeOf(options.rope, cache->head_dim_k);
    if (!rope.ok()) return rope.status();
    input.cache = std::move(*cache);
    input.rope = *rope;
    input.source = options.input;
  } else {
    KvProfileOptions profile = options.profile;
    const auto parsed = ParseKvProfile(options.synthetic);
    if (!parsed) {
      return InvalidField("--synthetic", options.synthetic, "gaussian, keys-a or keys-b");
    }
    profile.profile = *parsed;
    const uint64_t bytes = uint64_t{profile.layers} * profile.heads * profile.tokens * 4;
    if (bytes > kSyntheticBytesMax / profile.head_dim) {
      return TooMany("bytes of synthetic keys and values", bytes * profile.head_dim,
                     kSyntheticBytesMax);
    }
    input.cache = MakeKv(profile);
    input.rope = cli::RopeOf(profile);
    input.source = absl::StrFormat("synthetic %s, seed %d", options.synthetic, profile.seed);
  }
  const KvCache& cache = input.cache;
  input.source +=
      absl::StrFormat(": %d layers of %d heads, %d tokens, %d channels, %d queries", cache.layers(),
                      cache.heads, cache.tokens, cache.head_dim_k, options.queries);
  return input;
}

int WriteReport(const CodecReport& report, const EvalOptions& options) {
  if (!options.plot.empty()) {
    std::ofstream file(options.plot);
    file << CodecReportSvg(report);
    file.close();
    if (!file) return Fail(InvalidField("--plot", options.plot, "a file that can be written"));
  }
  if (!options.json.empty()) {
    const absl::Status written = WriteJson(CodecReportJson(report), options.json);
    if (!written.ok()) return Fail(written);
  }
  if (options.json != "-") std::fputs(CodecReportText(report).c_str(), stdout);
  return kExitOk;
}

int RunEval(const Session&, const EvalOptions& options) {
  const auto plans = PlansOf(options.codecs);
  if (!plans.ok()) return Fail(plans.status());
  const auto input = LoadInput(options);
  if (!input.ok()) return Fail(input.status());
  const auto eval = CodecEval::Create(input->cache, {.rope = input->rope,
                                                     .block_tokens = options.block_tokens,
                                                     .queries = options.queries,
                                                     .seed = options.profile.seed});
  if (!eval.ok()) return Fail(eval.status());
  CodecReport report{.source = input->source, .bytes = input->cache.bytes()};
  {
    Progress progress("codecs", plans->size());
    report.copy_bytes_per_second = eval->CopyBytesPerSecond();
    for (const CodecPlan& plan : *plans) {
      auto score = eval->Score(plan);
      if (!score.ok()) return Fail(score.status());
      report.scores.push_back(std::move(*score));
      progress.Add(1);
    }
  }
  SortByBits(report.scores);
  return WriteReport(report, options);
}

int RunEncode(const Session&, const EncodeOptions& options) {
  const auto plans = PlansOf({options.codec});
  if (!plans.ok()) return Fail(plans.status());
  const auto cache = ReadKv(options.in, options.rope.token_begin);
  if (!cache.ok()) return Fail(cache.status());
  const auto rope = RopeOf(options.rope, cache->head_dim_k);
  if (!rope.ok()) return Fail(rope.status());
  BlockRecipe recipe;
  recipe.plan = plans->front();
  recipe.rope = *rope;
  recipe.sinks = options.sinks;
  const auto archive = EncodeArchive(*cache, recipe, options.block_tokens);
  if (!archive.ok()) return Fail(archive.status());
  std::ofstream file(options.out, std::ios::binary);
  file.write(reinterpret_cast<const char*>(archive->bytes.data()),
             static_cast<std::streamsize>(archive->bytes.size()));
  file.close();
  if (!file) return Fail(InvalidField("OUT", options.out, "a file that can be written"));
  std::printf("%s: %s of keys and values in %s, %.2f to 1; %s of %s streams coded, frames: %s\n",
              options.out.c_str(), FormatBytes(cache->bytes()).c_str(),
              FormatBytes(archive->bytes.size()).c_str(),
              static_cast<double>(cache->bytes()) / static_cast<double>(archive->bytes.size()),
              FormatCount(archive->coded_streams).c_str(), FormatCount(archive->streams).c_str(),
              FormatCount(archive->frames).c_str());
  return kExitOk;
}

int RunDecode(const Session&, const DecodeOptions& options) {
  const auto file = ReadWholeFile(options.in);
  if (!file.ok()) return Fail(file.status());
  const auto decoded = DecodeArchive(*file, options.in);
  if (!decoded.ok()) return Fail(decoded.status());
  const absl::Status written = WriteKv(decoded->cache, options.out);
  if (!written.ok()) return Fail(written);
  std::printf("%s: %s of keys and values, %s; every checksum matches, frames: %s\n",
              options.out.c_str(), FormatBytes(decoded->cache.bytes()).c_str(),
              std::string(FidelityName(decoded->fidelity)).c_str(),
              FormatCount(decoded->frames).c_str());
  return kExitOk;
}

void AddRopeOptions(CLI::App& command, RopeOptions& rope) {
  command.add_option("--rope-theta", rope.theta,
                     "Of the model's rotary embedding; without it keys are centred as they are");
  command.add_option("--rope", rope.pairing, "Which channels it pairs")
      ->capture_default_str()
      ->check(CLI::IsMember({"half", "interleaved"}));
  command.add_option("--rotary-dim", rope.rotary_dim, "Channels that it turns; 0: all");
  command.add_option("--token-begin", rope.token_begin, "Position of the file's first token")
      ->capture_default_str();
}

void AddBlockTokens(CLI::App& command, uint32_t& block_tokens) {
  command.add_option("--block-tokens", block_tokens, "Tokens per block")
      ->capture_default_str()
      ->check(CLI::Range(1u, 65'536u));
}

void ConfigureEval(CLI::App& command, EvalOptions& options) {
  command
      .add_option(
          "--codec", options.codecs,
          "Plans, comma-separated: a preset, a format, KEYS/VALUES, with +centre, +unrope, +rotate "
          "or +haar; "
          "all: every name of `larder codec list`")
      ->delimiter(',')
      ->capture_default_str();
  CLI::Option* input =
      command.add_option("--input", options.input, "A safetensors file of keys and values");
  command.add_option("--synthetic", options.synthetic, "gaussian, keys-a or keys-b")
      ->capture_default_str()
      ->excludes(input);
  KvProfileOptions& profile = options.profile;
  command.add_option("--layers", profile.layers, "Layers to make")
      ->capture_default_str()
      ->check(CLI::Range(1u, 512u));
  command.add_option("--kv-heads", profile.heads, "KV heads to make")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1024u));
  command.add_option("--head-dim", profile.head_dim, "Channels of a head, a multiple of 16")
      ->capture_default_str()
      ->check(CLI::Range(16u, 1024u))
      ->check([](const std::string& text) {
        return std::stoul(text) % 16 == 0 ? std::string() : text + " is not a multiple of 16";
      });
  command.add_option("--tokens", profile.tokens, "Tokens to make")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1'048'576u));
  command.add_option("--seed", profile.seed, "Of the values and of the queries")
      ->capture_default_str();
  command.add_option("--queries", options.queries, "Queries per head")
      ->capture_default_str()
      ->check(CLI::Range(1u, 4096u));
  AddBlockTokens(command, options.block_tokens);
  AddRopeOptions(command, options.rope);
  command.add_option("--json", options.json, "JSON to this file; - for stdout, without the table");
  command.add_option("--plot", options.plot, "An SVG picture of error against bits");
}

}  // namespace

void AddCodec(CLI::App& app, Session& session) {
  CLI::App* codec =
      app.add_subcommand("codec", "List, compare and apply codecs of keys and values; no server");
  codec->require_subcommand(1);
  AddCommand<ListOptions>(
      *codec, session, "list", "Every preset and format of this build, with its measured size",
      "  larder codec list\n  larder codec list --json -\n",
      [](CLI::App& command, ListOptions& options) {
        command.add_option("--json", options.json, "JSON to this file; - for stdout");
      },
      RunList);
  AddCommand<SizesOptions>(
      *codec, session, "sizes",
      "Bytes that a model's tokens take under every plan of fixed size; headers, raw sinks and the "
      "raw tail apart",
      "  larder codec sizes\n  larder codec sizes --model llama-3-8b --tokens 1000 --json -\n",
      [](CLI::App& command, SizesOptions& options) {
        command.add_option("--model", options.model, "Geometry preset (a wrong name lists them)")
            ->capture_default_str();
        command.add_option("--tokens", options.sizes.tokens, "Of the sequence")
            ->capture_default_str()
            ->check(CLI::Range(1u, 1u << 30));
        command.add_option("--sinks", options.sizes.sinks, "First tokens that stay raw")
            ->capture_default_str()
            ->check(CLI::Range(0u, uint32_t{kSinksMax}));
        AddBlockTokens(command, options.block_tokens);
        command.add_option("--json", options.json, "JSON to this file; - for stdout");
      },
      RunSizes);
  AddCommand<EvalOptions>(
      *codec, session, "eval",
      "Measure codecs: size, error of keys, values and attention, speed of one core. On synthetic "
      "keys and values, or on those of a file (tensors layers.N.k and layers.N.v, [tokens, heads, "
      "head_dim], BF16 or F16)",
      "  larder codec eval\n"
      "  larder codec eval --codec fp8,balanced,q4_0+centre+rotate/q4_0 --synthetic keys-a\n"
      "  larder codec eval --codec fp8 --layers 16 --kv-heads 8 --tokens 4096   # beyond the "
      "caches\n"
      "  larder codec eval --input kv.safetensors --rope-theta 500000 --plot error.svg --json -\n",
      ConfigureEval, RunEval);
  AddCommand<EncodeOptions>(
      *codec, session, "encode", "Store a safetensors file's keys and values as frames",
      "  larder codec encode --codec fp8 --rope-theta 500000 kv.safetensors kv.larder\n",
      [](CLI::App& command, EncodeOptions& options) {
        command
            .add_option("IN", options.in,
                        "Tensors layers.N.k, layers.N.v: [tokens, heads, "
                        "head_dim], BF16 or F16")
            ->required();
        command.add_option("OUT", options.out, "File of frames")->required();
        command.add_option("--codec", options.codec, "A plan (a wrong name lists them)")
            ->required();
        command.add_option("--sinks", options.sinks, "First tokens of the sequence that stay raw")
            ->capture_default_str()
            ->check(CLI::Range(0u, 64u));
        AddBlockTokens(command, options.block_tokens);
        AddRopeOptions(command, options.rope);
      },
      RunEncode);
  AddCommand<DecodeOptions>(
      *codec, session, "decode", "Verify a file of frames and write its keys and values back",
      "  larder codec decode kv.larder back.safetensors\n",
      [](CLI::App& command, DecodeOptions& options) {
        command.add_option("IN", options.in, "File of frames")->required();
        command.add_option("OUT", options.out, "safetensors file")->required();
      },
      RunDecode);
}

}  // namespace larder::cli
