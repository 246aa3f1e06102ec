// A synthetic trace: multi-turn chats over shared system prompts, in the format of trace.h. For a
// first run without a real trace.
//
// Model. `system_prompts` prompts of 1 to 8 blocks (uniform in tokens), popularity Zipf(1).
// Conversations start as a Poisson process and draw one prompt and a geometric number of turns with
// mean `turns_mean`. Each turn appends a user message (log-normal tokens, median 350, sigma 1.2:
// some paste documents) to everything said before and gets an answer (log-normal, median 250, sigma
// 0.8); the next turn follows after the answer's decoding time (25 ms per token) and an exponential
// think time of mean 45 s. Ids. A full block's id is allocated once per distinct content: blocks
// inside a system prompt are shared by all its conversations, later ones by the turns of one
// conversation. A partial last block gets a fresh id, since its content changes with the next turn.
// Ids are numbered by first appearance, and equal ids always have equal predecessors. The result
// depends on the options only. It is honest load, not a fit to any service: do not quote its hit
// rate as anyone's.
#pragma once

#include <cstdint>
#include <vector>

#include "client/cli/trace.h"

namespace larder::cli {

struct TraceGeneratorOptions {
  uint64_t seed = 1;
  uint32_t requests = 2'000;
  uint32_t system_prompts = 12;
  double turns_mean = 4;
  double requests_per_second = 3;
};

std::vector<TraceRequest> GenerateTrace(const TraceGeneratorOptions& options);

}  // namespace larder::cli
