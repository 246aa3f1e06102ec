// Replays a request trace against a store as an engine would use it: for each request look the
// chain up with a lease, get the hit blocks, verify them, put the missing ones with their parents,
// release the lease.
//
// Every hash id of the trace is one KV block. Its payload is synthetic KV of the geometry's
// block_tokens, fewer than the 512 tokens that the id stands for, so that a trace of 10^5 blocks
// fits a small machine; tokens are counted as the trace has them (512 per block, the remainder of
// input_length in the last). Prefix hashes are native hashes chained over the ids.
//
// Hits are what an engine can use: the leading blocks that were looked up, fetched and (with
// `verify`) found right. A block that is missed in between ends the prefix and is put again; later
// ones that did arrive are not.
//
// A failed call is counted and abandons its request; the worker then backs off and goes on with the
// next. Every call has a deadline and `failures_in_row_max` failed requests in a row end the replay
// (`gave_up`), so it ends whatever the server does.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "client/cli/block_store.h"
#include "client/cli/latency_histogram.h"
#include "client/cli/synthetic_kv.h"
#include "client/cli/trace.h"
#include "kernels/codec/block_coder.h"

namespace larder::cli {

// What an engine tells the store about a block. kTurn uses two things that an engine knows when it
// puts:
// - a block that is not full can only be hit by the same prompt again: priority kPartialPriority;
// - a conversation in its second turn or later (TurnsOf) has proved that its user comes back:
//   kContinuedPriority for kContinuedDuration of trace time, then the default again. Blocks of first
//   turns keep the default.
// Chosen by simulation of strict priority over LRU on the conversation trace: hit rate 16.1 instead
// of 11.2 % at 5,000 blocks, 22.6 instead of 21.2 % at 10,000, never below LRU; without the
// duration it loses 3 points at 50,000.
enum class PriorityHints { kNone, kTurn };
inline constexpr uint32_t kPartialPriority = 20;
inline constexpr uint32_t kContinuedPriority = 60;
inline constexpr Milliseconds kContinuedDuration{240'000};

struct ReplayOptions {
  uint32_t concurrency = 1;  // 1 keeps the trace's order
  double speed = 0;          // times real time; 0: as fast as it goes
  PriorityHints hints = PriorityHints::kNone;
  // Compare every fetched byte with the generator (with its codec's decoding of it), beyond the
  // library's checksums.
  bool verify = false;
  std::optional<BlockRecipe> verify_via;  // BlockCheck's `via`
  std::string codec;  // of the puts; empty: the server's own
  Durability durability = Durability::kMemory;
  EncodeAt encode_at = EncodeAt::kServer;
  CallOptions call;
  Milliseconds lease_ttl{60'000};
  uint64_t batch_bytes_max = 64u << 20;  // payload of one put or get
  uint32_t failures_in_row_max = 60;     // per worker; with the back-off about a minute
  Milliseconds backoff_first{50};
  Milliseconds backoff_max{1'000};
};

// Sums over requests; every worker has its own, merged at the end.
struct ReplayCounts {
  uint64_t requests = 0;
  uint64_t blocks = 0;
  uint64_t hit_blocks = 0;
  uint64_t query_tokens = 0;
  uint64_t hit_tokens = 0;
  uint64_t raw_bytes = 0;          // of blocks stored by this replay
  uint64_t stored_bytes = 0;       // their frames
  uint64_t block_frame_bytes = 0;  // largest frame seen
  uint64_t wrong_blocks = 0;       // fetched as hits, but not the bytes that were put
  uint64_t errors =
      0;  // failed calls and refused blocks (conflict, invalid, corrupt, codec, incomplete)
  std::map<std::string, uint64_t> errors_by_name;
  std::array<uint64_t, kPutOutcomes> put_outcomes{};
  LatencyHistogram lookup;  // per call
  LatencyHistogram get;
  LatencyHistogram put;

  void Merge(const ReplayCounts& other);
};

struct ReplayResult {
  ReplayCounts counts;
  TraceFacts facts;  // of the requests that were replayed
  double wall_seconds = 0;
  bool gave_up = false;
  std::string last_error;
};

// `kv` makes the payload; the store's space must have its shape. `progress` is called after every
// request, from any worker.
ReplayResult Replay(std::span<const TraceRequest> requests, BlockStore& store,
                    const SyntheticKv& kv, uint32_t block_tokens, const ReplayOptions& options,
                    const std::function<void()>& progress = {});

// Prefix hashes of a request's blocks, first block first.
std::vector<PrefixHash> ChainOf(const TraceRequest& request);

}  // namespace larder::cli
