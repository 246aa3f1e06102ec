#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/client_block_store.h"
#include "client/cli/command.h"
#include "client/cli/durability_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_file.h"
#include "client/cli/models.h"
#include "client/cli/progress.h"
#include "client/cli/replay.h"
#include "client/cli/replay_summary.h"
#include "client/cli/synthetic_kv.h"
#include "client/cli/trace.h"
#include "client/put_call.h"
#include "kernels/codec/registry.h"
#include "larder/v1/manifest.pb.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

const std::map<std::string, PriorityHints> kHints = {{"none", PriorityHints::kNone},
                                                     {"turn", PriorityHints::kTurn}};

struct ReplayCommandOptions {
  std::string trace;
  size_t requests_max = kTraceRequestsMax;
  std::string speed = "max";
  std::string model{kReplayModel};
  std::optional<uint32_t> layers;
  std::optional<uint32_t> kv_heads;
  std::optional<uint32_t> head_dim;
  uint32_t block_tokens = 32;
  std::string tenant = "default";
  std::string hints = "none";
  uint64_t seed = 1;
  uint32_t concurrency = 1;
  bool verify = false;
  std::string codec = "raw";
  Durability durability = Durability::kMemory;
  std::string encode_at = "server";
  std::string verify_via;
  std::string json;
};

// The preset with the geometry that the flags change.
absl::StatusOr<ModelPreset> PresetOf(const ReplayCommandOptions& options) {
  auto preset = FindModelPreset(options.model);
  if (!preset.ok()) return preset;
  if (options.layers) preset->layers = *options.layers;
  if (options.kv_heads) preset->kv_heads = *options.kv_heads;
  if (options.head_dim) {
    preset->head_dim_k = preset->head_dim_v = *options.head_dim;
    if (preset->rope.pairing != RopePairing::kNone) preset->rope.rotary_dim = *options.head_dim;
  }
  return preset;
}

// Payload depends on the generator's version and seed, and hashes are over trace ids: both are part
// of the manifest, so that replays with other bytes never meet in a space.
absl::StatusOr<Manifest> ReplayManifest(const ModelPreset& preset,
                                        const ReplayCommandOptions& options) {
  Manifest manifest = ManifestOf(preset, options.block_tokens);
  manifest.weights_digest = SyntheticKv::kVersion;
  manifest.hash_scheme = {
      .name = "larder_replay_trace_ids", .seed = std::to_string(options.seed), .probe = ""};
  return ManifestFromWire(ManifestToWire(manifest));
}

absl::StatusOr<double> ParseSpeed(const std::string& text) {
  if (text == "max") return 0;
  char* end = nullptr;
  const double speed = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0' || !(speed > 0 && speed < 1e9)) {
    return InvalidField("--speed", text, "max, or how many times faster than real time");
  }
  return speed;
}

int Report(const Session& session, const ReplayCommandOptions& options, const ReplaySetup& setup,
           const ReplayResult& result) {
  // With JSON on stdout the table goes to stderr.
  std::fputs(ReplaySummaryText(setup, result).c_str(), options.json == "-" ? stderr : stdout);
  if (!options.json.empty()) {
    const absl::Status written = WriteJson(ReplaySummaryJson(setup, result), options.json);
    if (!written.ok()) return Fail(written);
  }
  if (result.counts.wrong_blocks > 0) {
    std::fprintf(stderr,
                 "larder: %llu blocks came back with bytes that were never put: do not use this "
                 "server, keep its log\n",
                 static_cast<unsigned long long>(result.counts.wrong_blocks));
    return kExitWrongBytes;
  }
  if (result.gave_up) return Fail(ServerUnreachable(session.address, result.last_error));
  return kExitOk;
}

int RunReplay(const Session& session, const ReplayCommandOptions& options) {
  const auto speed = ParseSpeed(options.speed);
  if (!speed.ok()) return Fail(speed.status());
  const auto preset = PresetOf(options);
  if (!preset.ok()) return Fail(preset.status());
  const auto manifest = ReplayManifest(*preset, options);
  if (!manifest.ok()) return Fail(manifest.status());
  const auto trace = ReadTraceFile(options.trace, options.requests_max);
  if (!trace.ok()) return Fail(trace.status());
  const KvShape shape = ShapeOf(*manifest, manifest->groups.front());
  const auto kv = SyntheticKv::Create(shape, manifest->rope, options.seed);
  if (!kv.ok()) return Fail(kv.status());

  const auto client = session.Connect();
  if (!client.ok()) return Fail(client.status());
  const auto spaces =
      (*client)->Register(ManifestToWire(*manifest), options.tenant, session.Call());
  if (!spaces.ok()) return Fail(spaces.status());
  ClientBlockStore store(**client, spaces->front());

  std::optional<BlockRecipe> via;
  if (!options.verify_via.empty()) {
    via = RecipeOf(spaces->front(), {.codec = options.verify_via});
  }
  const ReplaySetup setup{.trace = options.trace,
                          .model = std::string(preset->name),
                          .parameters_active = preset->parameters_active,
                          .block_tokens = options.block_tokens,
                          .block_raw_bytes = kv->block_bytes(),
                          .options = {.concurrency = options.concurrency,
                                      .speed = *speed,
                                      .hints = kHints.at(options.hints),
                                      .verify = options.verify,
                                      .verify_via = via,
                                      .codec = options.codec == "server" ? "" : options.codec,
                                      .durability = options.durability,
                                      .encode_at = options.encode_at == "client"
                                                       ? EncodeAt::kClient
                                                       : EncodeAt::kServer,
                                      .call = session.Call()}};
  std::optional<Progress> progress(std::in_place, "replay", trace->size());
  const ReplayResult result =
      Replay(*trace, store, *kv, options.block_tokens, setup.options, [&] { progress->Add(1); });
  progress.reset();
  return Report(session, options, setup, result);
}

std::string PlanFault(const std::string& name) {
  std::string why;
  return ParsePlan(name, &why) ? "" : "'" + name + "': " + why;
}

void Configure(CLI::App& command, ReplayCommandOptions& options) {
  command.add_option("--trace", options.trace, "Trace file, Mooncake JSON Lines")->required();
  command.add_option("--requests", options.requests_max, "Replay only the first N");
  command.add_option("--speed", options.speed, "max, or times real time by the timestamps")
      ->capture_default_str();
  command.add_option("--model", options.model, "Geometry preset (a wrong name lists them)")
      ->capture_default_str();
  command.add_option("--layers", options.layers, "Instead of the preset's");
  command.add_option("--kv-heads", options.kv_heads, "Instead of the preset's");
  command.add_option("--head-dim", options.head_dim, "Instead of the preset's");
  command.add_option("--block-tokens", options.block_tokens, "Tokens whose KV a block carries")
      ->capture_default_str();
  command.add_option("--tenant", options.tenant, "Isolation domain")->capture_default_str();
  command.add_option("--concurrency", options.concurrency, "Requests in flight; 1 keeps the order")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1024u));
  command
      .add_option("--priority-hints", options.hints,
                  "none, or turn: later turns of a conversation are kept longer, blocks that are "
                  "not full are dropped first")
      ->capture_default_str()
      ->check(CLI::IsMember(kHints));
  command.add_flag("--verify", options.verify,
                   "Compare every fetched byte with what was put, as its codec decodes it");
  command
      .add_option("--verify-via", options.verify_via,
                  "The plan in memory of a server whose ssd_codec encodes blocks again: --verify "
                  "then takes both forms")
      ->check(PlanFault);
  command
      .add_option("--codec", options.codec,
                  "How the server stores the blocks: a plan of 'larder codec list', or server for "
                  "its own")
      ->capture_default_str();
  AddDurability(command, options.durability);
  command
      .add_option("--encode-at", options.encode_at,
                  "server, or client: blocks are encoded by --codec before they are sent")
      ->capture_default_str()
      ->check(CLI::IsMember({"server", "client"}));
  command.add_option("--seed", options.seed, "Seed of the payload")->capture_default_str();
  command.add_option("--json", options.json, "Write the summary to this file; - for stdout");
}

}  // namespace

void AddReplay(CLI::App& app, Session& session) {
  AddCommand<ReplayCommandOptions>(
      app, session, "replay",
      "Do what an engine does for every request of a trace: look up with a lease, get the hit "
      "blocks, put the missing ones",
      "  larder replay --trace conversation_trace.jsonl --verify\n"
      "  larder replay --trace trace.jsonl --speed 60 --concurrency 8 --json result.json\n"
      "  larder replay --trace trace.jsonl --model llama-3-8b --block-tokens 1 --requests 200\n"
      "\n"
      "Every id of the trace stands for 512 tokens and is one KV block. Its payload is thinned to\n"
      "the KV of --block-tokens tokens (default: 32 of replay-small, 32 KiB), so that 182,790\n"
      "blocks fit a small machine; tokens are counted as the trace has them.\n"
      "\n"
      "JSON keys: requests, blocks, hit_blocks, query_tokens, hit_tokens, ideal_hit_blocks,\n"
      "ideal_hit_tokens, raw_bytes, stored_bytes, block_raw_bytes, block_frame_bytes,\n"
      "gpu_seconds_saved, put_outcomes, wrong_blocks, errors, errors_by_name, gave_up,\n"
      "wall_seconds, latency_seconds.{lookup,get,put}.{p50,p95,p99} (null without a call).\n"
      "\n"
      "A failed call is counted and the replay goes on with the next request; after 60 failed\n"
      "requests in a row it ends with exit code 5. Exit code 4 when a block was wrong.\n",
      Configure, RunReplay);
}

}  // namespace larder::cli
