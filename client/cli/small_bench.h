// What a small request costs beside an empty call over the same connection: the three take turns, so that
// drift of the machine hits all alike.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "client/cli/latency_histogram.h"
#include "client/client.h"

namespace larder::cli {

struct SmallBenchOptions {
  uint64_t block_bytes = 16 << 10;
  uint64_t blocks = 1024;
  double seconds = 5;
  uint64_t nonce = 0;
  CallOptions call;
};

struct SmallBenchResult {
  LatencyHistogram empty_call;  // Release of a lease that does not exist
  LatencyHistogram lookup_get;  // Lookup with a lease, then Get, of one block
  LatencyHistogram get_prefix;  // the same in one GetPrefix
  uint64_t misses = 0;
};

// Puts `blocks` blocks, then measures. The blocks stay.
absl::Status RunSmallBench(Client& client, const Space& space, const SmallBenchOptions& options,
                           SmallBenchResult* result);

}  // namespace larder::cli
