// Request traces in the Mooncake format: JSON Lines, one request per line,
//   {"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, ..., 13]}
// timestamp in ms since the start, lengths in tokens, one hash id per 512-token block of the input.
// Ids are prefix-chained: an id stands for its block and everything before it. The last block of a
// request may be partial.
//
// Everything here is a pure function of its input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::cli {

inline constexpr uint32_t kTraceBlockTokens = 512;
inline constexpr size_t kTraceLineBytesMax = 2u << 20;  // kLookupHashesMax ids of 20 digits fit
inline constexpr size_t kTraceRequestsMax =
    10'000'000;  // 3 GB of memory at the conversation trace's mean length

struct TraceRequest {
  uint64_t timestamp_ms = 0;
  uint32_t input_tokens = 0;
  uint32_t output_tokens = 0;
  std::vector<uint64_t> hash_ids;

  friend bool operator==(const TraceRequest&, const TraceRequest&) = default;
};

// Reads at most `requests_max` requests. INVALID_ARGUMENT with "name:line" when a line is not such
// an object, exceeds a bound, has more ids than its input has blocks, or goes back in time. Unknown
// keys and empty lines are skipped.
absl::StatusOr<std::vector<TraceRequest>> ReadTrace(std::istream& in, std::string_view name,
                                                    size_t requests_max = kTraceRequestsMax);

// NOT_FOUND when the file can not be opened.
absl::StatusOr<std::vector<TraceRequest>> ReadTraceFile(const std::string& path,
                                                        size_t requests_max = kTraceRequestsMax);

void WriteTrace(std::span<const TraceRequest> requests, std::ostream& out);

// Tokens that block `index` of the request covers: 512, fewer in the last.
uint32_t TokensOfBlock(const TraceRequest& request, size_t index);

// What the trace alone says. `ideal_*`: strict-prefix hits of a cache that never drops a block and
// stores each request when it arrives.
struct TraceFacts {
  uint64_t requests = 0;
  uint64_t blocks = 0;
  uint64_t unique_blocks = 0;
  uint64_t query_tokens = 0;
  uint64_t ideal_hit_blocks = 0;
  uint64_t ideal_hit_tokens = 0;
};
TraceFacts FactsOf(std::span<const TraceRequest> requests);

// The turn of its conversation that each request is, from 1. An engine reads it off the messages of
// the chat request; a trace does not carry it, so it is inferred from earlier requests only: a
// request continues the latest one whose full blocks (at least two, so that a shared system prompt
// alone is not a conversation) it starts with.
std::vector<uint32_t> TurnsOf(std::span<const TraceRequest> requests);

}  // namespace larder::cli
