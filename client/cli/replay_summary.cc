#include "client/cli/replay_summary.h"

#include <optional>

#include "absl/strings/str_format.h"
#include "client/cli/json_file.h"
#include "client/cli/models.h"
#include "client/cli/quantity.h"
#include "client/cli/table.h"

namespace larder::cli {
namespace {

std::string QuantilesText(const LatencyHistogram& histogram) {
  std::string text;
  for (const double quantile : {0.50, 0.95, 0.99}) {
    const std::optional<double> seconds = histogram.Quantile(quantile);
    text += (text.empty() ? "" : " / ") + (seconds ? FormatSeconds(*seconds) : "-");
  }
  return text;
}

std::string ErrorsText(const ReplayCounts& counts) {
  std::string text = FormatCount(counts.errors);
  for (const auto& [name, count] : counts.errors_by_name) {
    text += ", " + name + " " + FormatCount(count);
  }
  return text;
}

// Outcomes of puts beyond "stored", which has its own line.
std::string OtherPutsText(const ReplayCounts& counts) {
  std::string text;
  for (size_t i = 0; i < counts.put_outcomes.size(); ++i) {
    const auto outcome = static_cast<PutOutcome>(i);
    if (outcome == PutOutcome::kStored || counts.put_outcomes[i] == 0) continue;
    text += (text.empty() ? "" : ", ") + std::string(PutOutcomeName(outcome)) + " " +
            FormatCount(counts.put_outcomes[i]);
  }
  return text;
}

}  // namespace

std::string ReplaySummaryText(const ReplaySetup& setup, const ReplayResult& result) {
  const ReplayCounts& counts = result.counts;
  const TraceFacts& facts = result.facts;
  Table table({{""}, {""}});
  table.AddRow({"trace", setup.trace});
  table.AddRow({"model", setup.model + ", " + FormatBytes(setup.block_raw_bytes) + " per block"});
  table.AddRow({"requests", FormatCount(counts.requests) + (result.gave_up ? " (gave up)" : "")});
  table.AddRow({"blocks", FormatCount(counts.blocks)});
  table.AddRow({"block hit rate", FormatPercent(counts.hit_blocks, counts.blocks) + "  (ideal " +
                                      FormatPercent(facts.ideal_hit_blocks, facts.blocks) + ")"});
  table.AddRow(
      {"token hit rate", FormatPercent(counts.hit_tokens, counts.query_tokens) + "  (ideal " +
                             FormatPercent(facts.ideal_hit_tokens, facts.query_tokens) + ")"});
  table.AddRow({"GPU prefill saved",
                FormatSeconds(PrefillSeconds(setup.parameters_active, counts.hit_tokens)) + " of " +
                    FormatSeconds(PrefillSeconds(setup.parameters_active, counts.query_tokens))});
  const uint64_t stored = counts.put_outcomes[static_cast<size_t>(PutOutcome::kStored)];
  table.AddRow({"blocks stored", FormatCount(stored)});
  table.AddRow({"bytes stored", FormatBytes(counts.stored_bytes) + " for " +
                                    FormatBytes(counts.raw_bytes) + " raw"});
  if (const std::string others = OtherPutsText(counts); !others.empty()) {
    table.AddRow({"other puts", others});
  }
  table.AddRow({"lookup p50/p95/p99", QuantilesText(counts.lookup)});
  table.AddRow({"get p50/p95/p99", QuantilesText(counts.get)});
  table.AddRow({"put p50/p95/p99", QuantilesText(counts.put)});
  table.AddRow({"wrong blocks", FormatCount(counts.wrong_blocks) +
                                    (setup.options.verify ? "  (every byte compared)"
                                                          : "  (checksums only; see --verify)")});
  table.AddRow({"errors", ErrorsText(counts)});
  table.AddRow({"wall time", FormatSeconds(result.wall_seconds)});

  std::string text = table.ToString();
  text += absl::StrFormat(
      "\nPayloads carry the KV of %u tokens per block, so that a long trace fits a small machine;\n"
      "tokens are the trace's own %u per block. GPU seconds: 2 x %.2fe9 parameters x tokens at\n"
      "%.0f %% of %.0f TFLOP/s (H100, bf16), without attention's quadratic part.\n",
      setup.block_tokens, kTraceBlockTokens, setup.parameters_active / 1e9, 100 * kGpuFlopsShare,
      kGpuFlops / 1e12);
  if (!result.last_error.empty()) text += "Last error: " + result.last_error + "\n";
  return text;
}

nlohmann::ordered_json ReplaySummaryJson(const ReplaySetup& setup, const ReplayResult& result) {
  const ReplayCounts& counts = result.counts;
  nlohmann::ordered_json puts;
  for (size_t i = 1; i < counts.put_outcomes.size(); ++i) {
    puts[std::string(PutOutcomeName(static_cast<PutOutcome>(i)))] = counts.put_outcomes[i];
  }
  return {
      {"trace", setup.trace},
      {"model", setup.model},
      {"block_tokens", setup.block_tokens},
      {"verified", setup.options.verify},
      {"concurrency", setup.options.concurrency},
      {"requests", counts.requests},
      {"blocks", counts.blocks},
      {"hit_blocks", counts.hit_blocks},
      {"query_tokens", counts.query_tokens},
      {"hit_tokens", counts.hit_tokens},
      {"ideal_hit_blocks", result.facts.ideal_hit_blocks},
      {"ideal_hit_tokens", result.facts.ideal_hit_tokens},
      {"raw_bytes", counts.raw_bytes},
      {"stored_bytes", counts.stored_bytes},
      {"block_raw_bytes", setup.block_raw_bytes},
      {"block_frame_bytes", counts.block_frame_bytes},
      {"gpu_seconds_saved", PrefillSeconds(setup.parameters_active, counts.hit_tokens)},
      {"put_outcomes", puts},
      {"wrong_blocks", counts.wrong_blocks},
      {"errors", counts.errors},
      {"errors_by_name", counts.errors_by_name},
      {"last_error", result.last_error},
      {"gave_up", result.gave_up},
      {"wall_seconds", result.wall_seconds},
      {"latency_seconds",
       {{"lookup", QuantilesJson(counts.lookup)},
        {"get", QuantilesJson(counts.get)},
        {"put", QuantilesJson(counts.put)}}},
  };
}

}  // namespace larder::cli
