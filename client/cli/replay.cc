#include "client/cli/replay.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "client/cli/replay_worker.h"
#include "proto/contract/prefix_hash.h"

namespace larder::cli {

void ReplayCounts::Merge(const ReplayCounts& other) {
  requests += other.requests;
  blocks += other.blocks;
  hit_blocks += other.hit_blocks;
  query_tokens += other.query_tokens;
  hit_tokens += other.hit_tokens;
  raw_bytes += other.raw_bytes;
  stored_bytes += other.stored_bytes;
  block_frame_bytes = std::max(block_frame_bytes, other.block_frame_bytes);
  wrong_blocks += other.wrong_blocks;
  errors += other.errors;
  for (const auto& [name, count] : other.errors_by_name) errors_by_name[name] += count;
  for (size_t i = 0; i < put_outcomes.size(); ++i) put_outcomes[i] += other.put_outcomes[i];
  lookup.Merge(other.lookup);
  get.Merge(other.get);
  put.Merge(other.put);
}

std::vector<PrefixHash> ChainOf(const TraceRequest& request) {
  std::vector<PrefixHash> chain;
  chain.reserve(request.hash_ids.size());
  PrefixHash parent;
  for (const uint64_t id : request.hash_ids) {
    const std::array<uint32_t, 2> tokens = {static_cast<uint32_t>(id),
                                            static_cast<uint32_t>(id >> 32)};
    parent = NativeHash(parent, tokens);
    chain.push_back(parent);
  }
  return chain;
}

ReplayResult Replay(std::span<const TraceRequest> requests, BlockStore& store,
                    const SyntheticKv& kv, uint32_t block_tokens, const ReplayOptions& options,
                    const std::function<void()>& progress) {
  const std::vector<uint32_t> turns = TurnsOf(requests);
  ReplayJob job{.requests = requests,
                .turns = turns,
                .store = store,
                .kv = kv,
                .block_tokens = block_tokens,
                .options = options,
                .progress = progress,
                .start = std::chrono::steady_clock::now()};
  std::vector<ReplayWorker> workers;
  for (uint32_t i = 0; i < std::max(1u, options.concurrency); ++i) workers.emplace_back(job);
  std::vector<std::thread> threads;
  for (size_t i = 1; i < workers.size(); ++i) {
    threads.emplace_back([&worker = workers[i]] { worker.Run(); });
  }
  workers[0].Run();
  for (std::thread& thread : threads) thread.join();

  ReplayResult result;
  result.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - job.start).count();
  for (const ReplayWorker& worker : workers) {
    result.counts.Merge(worker.counts());
    if (!worker.last_error().empty()) result.last_error = worker.last_error();
  }
  result.gave_up = job.gave_up;
  // Exact in trace order; with concurrency, a replay that gave up may have skipped a few of these.
  result.facts = FactsOf(requests.first(result.counts.requests));
  return result;
}

}  // namespace larder::cli
