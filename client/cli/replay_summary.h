// The result of a replay, for people and for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "client/cli/replay.h"

namespace larder::cli {

// What was replayed, beside the result.
struct ReplaySetup {
  std::string trace;
  std::string model;
  double parameters_active = 0;  // of the model whose prefill is priced
  uint32_t block_tokens = 0;     // whose KV a payload carries
  uint64_t block_raw_bytes = 0;
  ReplayOptions options = {};
};

std::string ReplaySummaryText(const ReplaySetup& setup, const ReplayResult& result);

// Keys are a contract with scripts: `larder replay --help` lists them. Latencies are null where
// nothing was called.
nlohmann::ordered_json ReplaySummaryJson(const ReplaySetup& setup, const ReplayResult& result);

}  // namespace larder::cli
