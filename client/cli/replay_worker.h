// One thread of a replay (replay.h): takes the trace's next request, replays it, until none is left
// or a worker has given up.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/cli/block_check.h"
#include "client/cli/buffer_pool.h"
#include "client/cli/replay.h"

namespace larder::cli {

// What the workers of one replay share. `next` hands out requests in the trace's order.
struct ReplayJob {
  std::span<const TraceRequest> requests;
  std::span<const uint32_t> turns;  // of each request
  BlockStore& store;
  const SyntheticKv& kv;
  const uint32_t block_tokens;
  const ReplayOptions& options;
  const std::function<void()>& progress;
  const std::chrono::steady_clock::time_point start;
  std::atomic<size_t> next = 0;
  std::atomic<bool> gave_up = false;
};

// Confined to one thread while Run() runs.
class ReplayWorker {
 public:
  // `job` must outlive this.
  explicit ReplayWorker(ReplayJob& job);

  void Run();

  const ReplayCounts& counts() const { return counts_; }
  const std::string& last_error() const { return last_error_; }

 private:
  // False when a call failed and the request was abandoned.
  bool ReplayRequest(const TraceRequest& request, uint32_t turn);
  // Gets the first `found` blocks of chain_ and marks in present_ those that are right.
  bool Fetch(size_t found, const std::string& lease_id);
  // Puts every block that is not in present_.
  bool Store(const TraceRequest& request, uint32_t turn);
  bool PutBatch(std::span<const PutBlock> batch, bool* refused);
  Retention HintFor(const TraceRequest& request, size_t index, uint32_t turn) const;
  // Wall time that `trace_time` takes at this replay's pace.
  Milliseconds Scaled(const TraceRequest& request, Milliseconds trace_time) const;

  uint64_t BlockId(size_t index) const;
  uint64_t TokenBegin(size_t index) const { return uint64_t{index} * job_.block_tokens; }
  void WaitFor(const TraceRequest& request) const;
  // Counts the failure; false, for `return Failed(...)`.
  bool Failed(const absl::Status& status);
  void BackOff(uint32_t failures_in_row) const;

  ReplayJob& job_;
  BlockCheck check_;
  const size_t batch_blocks_;
  BufferPool buffers_;
  std::vector<std::shared_ptr<std::byte>> get_buffers_;
  ReplayCounts counts_;
  std::string last_error_;

  // Of the current request.
  std::vector<PrefixHash> chain_;
  std::vector<bool> present_;
};

}  // namespace larder::cli
