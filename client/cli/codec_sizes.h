// What a model's tokens take under each plan: codes and scales, and apart from them everything that blocks
// and sequences add. Computed from the layout of streams alone. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/codec/registry.h"
#include "kernels/format/kv_layout.h"
#include "nlohmann/json.hpp"

namespace larder::cli {

struct SizeOptions {
  KvShape shape;  // of a full block
  uint32_t sinks = 4;
  uint64_t tokens = 1'000;  // of the sequence
};

// Bytes. Codecs whose size varies have none: `larder codec eval` measures them.
struct PlanSize {
  std::string name;
  double token_bytes = 0;     // codes and scales of one token
  uint64_t block_bytes = 0;   // what a block has once: scales of a head, means, padding
  uint64_t header_bytes = 0;  // of a block's frame
  uint64_t sinks_bytes = 0;   // what the raw sinks add to the first block
  uint64_t tail_bytes = 0;    // the block that is not full: raw, with its header
  uint64_t total_bytes = 0;   // frames of the whole sequence
  double ratio = 0;           // raw bytes of all tokens to that
};

// nullopt when a codec of the plan has no fixed size or does not apply to the shape.
std::optional<PlanSize> SizeOf(const CodecPlan& plan, const SizeOptions& options);

// Of every preset and format, most bytes per token first.
std::vector<PlanSize> SizesOfPlans(const SizeOptions& options);

std::string SizesText(const SizeOptions& options, const std::vector<PlanSize>& sizes);
nlohmann::ordered_json SizesJson(const SizeOptions& options, const std::vector<PlanSize>& sizes);

}  // namespace larder::cli
