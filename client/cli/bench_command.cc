#include <cstdio>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "client/cli/bench.h"
#include "client/cli/client_block_store.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_file.h"
#include "client/cli/models.h"
#include "client/cli/progress.h"
#include "client/cli/quantity.h"
#include "client/cli/small_bench.h"
#include "client/cli/table.h"
#include "client/cuda_device_memory.h"
#include "larder/v1/admin.pb.h"
#include "larder/v1/manifest.pb.h"
#include "proto/contract/convert.h"

namespace larder::cli {
namespace {

const std::map<std::string, BenchOp> kOps = {
    {"put", BenchOp::kPut}, {"get", BenchOp::kGet}, {"lookup", BenchOp::kLookup}};

constexpr char kSmallOp[] = "small";

struct BenchCommandOptions {
  BenchOptions bench;
  bool from_window = false;
  std::optional<int> device;
  std::string model;
  uint32_t block_tokens = 128;
  std::string op;
  std::string json;
};

struct Measured {
  BenchResult client;
  PlaneStatus plane;
  double server_cpu_seconds = 0;
  double device_bytes_per_second = 0;  // of copies alone
  uint64_t block_bytes = 0;
};

nlohmann::ordered_json PerGb(double seconds, uint64_t bytes) {
  if (bytes == 0) return nullptr;
  return seconds / (static_cast<double>(bytes) / 1e9);
}

nlohmann::ordered_json ResultJson(const BenchCommandOptions& options, const Measured& measured) {
  const BenchResult& result = measured.client;
  const auto per_op = [&](double seconds) -> nlohmann::ordered_json {
    if (result.ops == 0) return nullptr;
    return seconds / static_cast<double>(result.ops);
  };
  return {
      {"op", options.op},
      {"plane", PlaneName(measured.plane.plane)},
      {"plane_reason", measured.plane.reason},
      {"inline_calls", measured.plane.inline_calls},
      {"model", options.model},
      {"codec", options.bench.codec},
      {"block_bytes", measured.block_bytes},
      {"blocks", options.bench.blocks},
      {"batch", options.bench.batch},
      {"concurrency", options.bench.concurrency},
      {"ops", result.ops},
      {"bytes_per_second", static_cast<double>(result.bytes) / result.wall_seconds},
      {"ops_per_second", static_cast<double>(result.ops) / result.wall_seconds},
      {"blocks_per_second", static_cast<double>(result.blocks) / result.wall_seconds},
      {"latency_seconds", QuantilesJson(result.latency)},
      {"client_cpu_seconds_per_gb", PerGb(result.client_cpu_seconds, result.bytes)},
      {"server_cpu_seconds_per_gb", PerGb(measured.server_cpu_seconds, result.bytes)},
      {"client_cpu_seconds_per_op", per_op(result.client_cpu_seconds)},
      {"server_cpu_seconds_per_op", per_op(measured.server_cpu_seconds)},
      {"device_copy_bytes_per_second", measured.device_bytes_per_second},
      {"misses", result.misses},
      {"errors", result.errors},
      {"last_error", result.last_error},
      {"wall_seconds", result.wall_seconds},
  };
}

std::string ResultText(const Measured& measured) {
  const BenchResult& result = measured.client;
  const auto cpu = [&](double seconds) {
    if (result.ops == 0) return std::string("-");
    const std::string per_op = FormatSeconds(seconds / static_cast<double>(result.ops));
    if (result.bytes == 0) return per_op + " per op";
    return FormatSeconds(seconds / (static_cast<double>(result.bytes) / 1e9)) + " per GB, " +
           per_op + " per op";
  };
  const auto quantile = [&](double at) {
    const std::optional<double> seconds = result.latency.Quantile(at);
    return seconds ? FormatSeconds(*seconds) : std::string("-");
  };
  Table table({{""}, {""}});
  table.AddRow(
      {"plane", std::string(PlaneName(measured.plane.plane)) + " (" + measured.plane.reason + ")"});
  table.AddRow({"throughput",
                result.bytes > 0
                    ? FormatBytesPerSecond(static_cast<double>(result.bytes) / result.wall_seconds)
                    : FormatCount(static_cast<uint64_t>(static_cast<double>(result.blocks) /
                                                        result.wall_seconds)) +
                          " blocks/s"});
  table.AddRow(
      {"operations", FormatCount(result.ops) + " in " + FormatSeconds(result.wall_seconds)});
  table.AddRow(
      {"latency p50/p95/p99", quantile(0.50) + " / " + quantile(0.95) + " / " + quantile(0.99)});
  table.AddRow({"client CPU", cpu(result.client_cpu_seconds)});
  table.AddRow({"server CPU", cpu(measured.server_cpu_seconds)});
  if (measured.device_bytes_per_second > 0) {
    table.AddRow({"copies alone", FormatBytesPerSecond(measured.device_bytes_per_second)});
  }
  table.AddRow({"misses", FormatCount(result.misses)});
  table.AddRow({"errors", FormatCount(result.errors)});
  return table.ToString();
}

// Between two readings of the server's own CPU counter.
absl::StatusOr<Measured> Measure(const Session& session, AdminClient& admin, Bench& bench) {
  const auto before = admin.Stats(session.Call());
  if (!before.ok()) return before.status();
  Measured measured{.client = bench.Measure()};
  const auto after = admin.Stats(session.Call());
  if (!after.ok()) return after.status();
  measured.server_cpu_seconds = after->process_cpu_seconds() - before->process_cpu_seconds();
  return measured;
}

absl::StatusOr<Measured> PrepareAndMeasure(Session session, const BenchCommandOptions& of,
                                           BenchOptions options) {
  if (of.device) {
    auto device = OpenCudaDevice(*of.device);
    if (!device.ok()) return device.status();
    session.device = options.device = *std::move(device);
  }
  auto client = session.Connect();
  if (!client.ok()) return client.status();
  auto admin = session.ConnectAdmin();
  if (!admin.ok()) return admin.status();
  Manifest manifest = BenchManifest(options.block_bytes);
  std::optional<SyntheticKv> kv;
  if (!of.model.empty()) {
    const auto preset = FindModelPreset(of.model);
    if (!preset.ok()) return preset.status();
    manifest = ManifestOf(*preset, of.block_tokens);
  }
  const auto spaces = (*client)->Register(ManifestToWire(manifest), "default", session.Call());
  if (!spaces.ok()) return spaces.status();
  if (!of.model.empty()) {
    auto made = SyntheticKv::Create(spaces->front().shape, manifest.rope, options.nonce);
    if (!made.ok()) return made.status();
    kv = *std::move(made);
    options.content = &*kv;
    options.block_bytes = kv->block_bytes();
    options.block_tokens = of.block_tokens;
  }
  ClientBlockStore store(**client, spaces->front());
  if (of.from_window)
    options.payload = (*client)->AllocateBlock(options.blocks * options.block_bytes);
  auto bench = Bench::Create(store, options);
  if (!bench.ok()) return bench.status();
  {
    Progress progress("prepare", options.blocks);
    const absl::Status prepared = bench->Prepare(&progress);
    if (!prepared.ok()) return prepared;
  }
  auto measured = Measure(session, **admin, *bench);
  if (measured.ok()) {
    measured->plane = (*client)->plane();
    measured->block_bytes = options.block_bytes;
  }
  if (measured.ok() && options.device != nullptr) {
    const uint64_t bytes = options.batch * options.block_bytes;
    const auto host = (*client)->AllocateBlock(bytes);
    const auto alone = bench->MeasureDevice({host.get(), bytes});
    if (!alone.ok()) return alone.status();
    measured->device_bytes_per_second = *alone;
  }
  v1::EvictRequest evict;
  evict.set_space_id(store.space().id);
  // What stays behind is only garbage that the server will evict by itself.
  (*admin)->Evict(evict, session.Call()).status().IgnoreError();
  return measured;
}

int RunSmall(const Session& session, const BenchCommandOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return Fail(client.status());
  const auto spaces = (*client)->Register(ManifestToWire(BenchManifest(options.bench.block_bytes)),
                                          "default", session.Call());
  if (!spaces.ok()) return Fail(spaces.status());
  SmallBenchResult result;
  const absl::Status status =
      RunSmallBench(**client, spaces->front(),
                    {options.bench.block_bytes, options.bench.blocks, options.bench.seconds,
                     std::random_device()(), session.Call()},
                    &result);
  if (!status.ok()) return Fail(status);
  const PlaneStatus plane = (*client)->plane();
  const nlohmann::ordered_json json = {{"op", options.op},
                                       {"plane", PlaneName(plane.plane)},
                                       {"block_bytes", options.bench.block_bytes},
                                       {"empty_call_seconds", QuantilesJson(result.empty_call)},
                                       {"lookup_get_seconds", QuantilesJson(result.lookup_get)},
                                       {"get_prefix_seconds", QuantilesJson(result.get_prefix)},
                                       {"misses", result.misses}};
  const absl::Status written = WriteJson(json, options.json.empty() ? "-" : options.json);
  return written.ok() ? kExitOk : Fail(written);
}

int RunBench(const Session& session, const BenchCommandOptions& options) {
  if (options.op == kSmallOp) return RunSmall(session, options);
  BenchOptions bench = options.bench;
  bench.op = kOps.at(options.op);
  bench.nonce = std::random_device()();
  bench.call = session.Call();
  const auto measured = PrepareAndMeasure(session, options, bench);
  if (!measured.ok()) return Fail(measured.status());
  if (options.json != "-") std::fputs(ResultText(*measured).c_str(), stdout);
  if (!options.json.empty()) {
    const absl::Status written = WriteJson(ResultJson(options, *measured), options.json);
    if (!written.ok()) return Fail(written);
  }
  const BenchResult& result = measured->client;
  if (result.misses > 0) {
    std::fprintf(stderr,
                 "larder: %s blocks were not there or not taken; for a clean figure give the "
                 "server more --dram-bytes, or lower --blocks\n",
                 FormatCount(result.misses).c_str());
  }
  if (result.errors == 0) return kExitOk;
  std::fprintf(stderr, "larder: %s calls failed, the last with: %s\n",
               FormatCount(result.errors).c_str(), result.last_error.c_str());
  return kExitError;
}

}  // namespace

void AddBench(CLI::App& app, Session& session) {
  AddCommand<BenchCommandOptions>(
      app, session, "bench", "Measure put, get or lookup of opaque blocks over one connection",
      "  larder bench --op get --block-bytes 4MiB --blocks 64 --seconds 10\n"
      "  larder bench --op get --plane shm --batch 8 --view\n"
      "  larder bench --op get --plane shm --batch 8 --device 0 --model llama-3-8b --codec "
      "balanced\n"
      "  larder bench --op put --block-bytes 64KiB --blocks 4096 --batch 16 --concurrency 4\n"
      "  larder bench --op lookup --block-bytes 1KiB --blocks 3000 --batch 3000 --json -\n"
      "One operation is one call on a chain of --batch blocks. --blocks times --block-bytes is "
      "the\n"
      "working set, on both ends: larger than the last-level cache for honest bandwidth, smaller\n"
      "than the server's budget for get and lookup. Bandwidth counts raw bytes, GB = 1e9 bytes.\n"
      "The blocks are evicted afterwards.\n",
      [](CLI::App& command, BenchCommandOptions& options) {
        BenchOptions& bench = options.bench;
        command
            .add_option("--op", options.op,
                        "put, get, lookup; or small: one block at a time beside an empty call")
            ->required()
            ->check(CLI::IsMember(kOps) | CLI::IsMember({kSmallOp}));
        auto* const block_bytes =
            command
                .add_option("--block-bytes", bench.block_bytes, "Raw bytes of a block; KiB, MiB")
                ->capture_default_str()
                ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false));
        command
            .add_option(
                "--model", options.model,
                "Blocks of this model's shape, with bytes like KV (a wrong name lists them)")
            ->excludes(block_bytes);
        command.add_option("--block-tokens", options.block_tokens, "Tokens of such a block")
            ->capture_default_str()
            ->check(CLI::Range(1u, 2048u));
        command.add_option("--codec", bench.codec,
                           "How the server stores the blocks: a plan of 'larder codec list'");
        command.add_option("--blocks", bench.blocks, "Blocks of the working set")
            ->capture_default_str();
        command.add_option("--batch", bench.batch, "Blocks per operation")->capture_default_str();
        command.add_option("--concurrency", bench.concurrency, "Calls in flight, one thread each")
            ->capture_default_str()
            ->check(CLI::Range(1u, 1024u));
        command.add_option("--seconds", bench.seconds, "Measured time")
            ->capture_default_str()
            ->check(CLI::Range(0.01, 86'400.0));
        command.add_flag("--view", bench.view,
                         "Get without a destination: blocks stay where they landed");
        auto* const from_window =
            command.add_flag("--from-window", options.from_window,
                             "Put from memory of the window (it must hold the working set)");
        command
            .add_option("--device", options.device,
                        "Payload in the memory of this CUDA device; also measures the copies alone")
            ->check(CLI::NonNegativeNumber)
            ->excludes(from_window);
        command.add_option("--json", options.json, "Write the result to this file; - for stdout");
      },
      RunBench);
}

}  // namespace larder::cli
