#include "client/cli/replay_worker.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "absl/status/statusor.h"

namespace larder::cli {
namespace {

using Steady = std::chrono::steady_clock;

constexpr size_t kBatchBlocksMax = 4096;

template <typename Call>
auto Timed(LatencyHistogram& histogram, Call call) {
  const Steady::time_point begin = Steady::now();
  auto result = call();
  histogram.Record(Steady::now() - begin);
  return result;
}

bool IsResident(PutOutcome outcome) {
  return outcome == PutOutcome::kStored || outcome == PutOutcome::kAlreadyPresent;
}

// No room, or a parent that was evicted meanwhile, is the store's good right.
bool IsRefusal(PutOutcome outcome) {
  return outcome == PutOutcome::kNoRoom || outcome == PutOutcome::kParentAbsent;
}

}  // namespace

ReplayWorker::ReplayWorker(ReplayJob& job)
    : job_(job),
      check_(job.kv, job.options.verify_via),
      batch_blocks_(std::clamp<size_t>(job.options.batch_bytes_max / job.kv.block_bytes(), 1,
                                       kBatchBlocksMax)),
      buffers_(job.kv.block_bytes()) {}

void ReplayWorker::Run() {
  uint32_t failures_in_row = 0;
  while (!job_.gave_up) {
    const size_t index = job_.next.fetch_add(1);
    if (index >= job_.requests.size()) return;
    const TraceRequest& request = job_.requests[index];
    WaitFor(request);
    const bool done = ReplayRequest(request, job_.turns[index]);
    if (job_.progress) job_.progress();
    if (done) {
      failures_in_row = 0;
    } else if (++failures_in_row >= job_.options.failures_in_row_max) {
      job_.gave_up = true;
    } else {
      BackOff(failures_in_row);
    }
  }
}

bool ReplayWorker::ReplayRequest(const TraceRequest& request, uint32_t turn) {
  chain_ = ChainOf(request);
  present_.assign(chain_.size(), false);
  ++counts_.requests;
  counts_.blocks += chain_.size();
  counts_.query_tokens += request.input_tokens;
  if (chain_.empty()) return true;

  LookupOptions lookup;
  lookup.timeout = job_.options.call.timeout;
  lookup.lease_ttl = job_.options.lease_ttl;
  const auto found = Timed(counts_.lookup, [&] { return job_.store.Lookup(chain_, lookup); });
  if (!found.ok()) return Failed(found.status());

  bool done = Fetch(std::min(found->blocks.size(), chain_.size()), found->lease_id);
  const size_t hits = std::find(present_.begin(), present_.end(), false) - present_.begin();
  counts_.hit_blocks += hits;
  for (size_t i = 0; i < hits; ++i) counts_.hit_tokens += TokensOfBlock(request, i);
  if (done) done = Store(request, turn);
  if (!found->lease_id.empty()) {
    const absl::Status released = job_.store.Release(found->lease_id, job_.options.call);
    if (!released.ok()) return Failed(released);
  }
  return done;
}

bool ReplayWorker::Fetch(size_t found, const std::string& lease_id) {
  GetOptions options;
  options.timeout = job_.options.call.timeout;
  options.lease_id = lease_id;
  options.keep_frame_header = job_.options.verify;
  const size_t block_bytes = job_.kv.block_bytes();
  for (size_t begin = 0; begin < found; begin += batch_blocks_) {
    const size_t end = std::min(found, begin + batch_blocks_);
    while (get_buffers_.size() < end - begin) get_buffers_.push_back(buffers_.Take());
    std::vector<GetBlock> batch;
    for (size_t i = begin; i < end; ++i) {
      batch.push_back({chain_[i], {get_buffers_[i - begin].get(), block_bytes}});
    }
    const auto results = Timed(counts_.get, [&] { return job_.store.Get(batch, options); });
    if (!results.ok()) return Failed(results.status());
    for (size_t i = begin; i < end; ++i) {
      const GetResult& result = (*results)[i - begin];
      if (!result.hit) continue;
      counts_.block_frame_bytes = std::max(counts_.block_frame_bytes, result.frame_bytes);
      present_[i] = result.raw_bytes == block_bytes &&
                    (!job_.options.verify || check_.IsRight(BlockId(i), TokenBegin(i), result,
                                                            batch[i - begin].destination));
      if (!present_[i]) ++counts_.wrong_blocks;
    }
  }
  return true;
}

bool ReplayWorker::Store(const TraceRequest& request, uint32_t turn) {
  std::vector<PutBlock> batch;
  bool refused = false;
  for (size_t i = 0; i < chain_.size() && !refused; ++i) {
    if (present_[i]) continue;
    std::shared_ptr<std::byte> raw = buffers_.Take();
    job_.kv.Fill(BlockId(i), TokenBegin(i), {raw.get(), job_.kv.block_bytes()});
    PutBlock block;
    block.hash = chain_[i];
    if (i > 0) block.parent = chain_[i - 1];
    block.token_begin = TokenBegin(i);
    block.raw = std::move(raw);
    block.raw_bytes = job_.kv.block_bytes();
    block.retention = HintFor(request, i, turn);
    batch.push_back(std::move(block));
    if (batch.size() < batch_blocks_) continue;
    if (!PutBatch(batch, &refused)) return false;
    batch.clear();
  }
  return batch.empty() || refused || PutBatch(batch, &refused);
}

bool ReplayWorker::PutBatch(std::span<const PutBlock> batch, bool* refused) {
  const PutOptions options{job_.options.call, job_.options.codec, job_.options.durability,
                           job_.options.encode_at};
  const auto results = Timed(counts_.put, [&] { return job_.store.Put(batch, options); });
  if (!results.ok()) return Failed(results.status());
  for (size_t i = 0; i < results->size(); ++i) {
    const PutResult& result = (*results)[i];
    ++counts_.put_outcomes[static_cast<size_t>(result.outcome)];
    counts_.block_frame_bytes = std::max(counts_.block_frame_bytes, result.frame_bytes);
    if (result.outcome == PutOutcome::kStored) {
      counts_.raw_bytes += batch[i].raw_bytes;
      counts_.stored_bytes += result.frame_bytes;
    } else if (!IsResident(result.outcome) && !IsRefusal(result.outcome)) {
      const std::string name = "put_" + std::string(PutOutcomeName(result.outcome));
      ++counts_.errors;
      ++counts_.errors_by_name[name];
      last_error_ = name + ": " + result.message;
    }
  }
  // Later blocks of the chain would only be answered "parent absent".
  *refused = !results->empty() && !IsResident(results->back().outcome);
  return true;
}

Retention ReplayWorker::HintFor(const TraceRequest& request, size_t index, uint32_t turn) const {
  Retention retention;
  if (job_.options.hints == PriorityHints::kNone) return retention;
  if (TokensOfBlock(request, index) < kTraceBlockTokens) {
    retention.priority = kPartialPriority;
  } else if (turn > 1) {
    retention.priority = kContinuedPriority;
    retention.priority_duration = Scaled(request, kContinuedDuration);
  }
  return retention;
}

Milliseconds ReplayWorker::Scaled(const TraceRequest& request, Milliseconds trace_time) const {
  double pace = job_.options.speed > 0 ? 1 / job_.options.speed : 1;
  const double trace_ms =
      static_cast<double>(request.timestamp_ms - job_.requests.front().timestamp_ms);
  if (job_.options.speed == 0 && trace_ms > 0) {
    // As fast as it goes: the pace is what it has been so far.
    pace = std::chrono::duration<double, std::milli>(Steady::now() - job_.start).count() / trace_ms;
  }
  return std::clamp(Milliseconds(std::llround(pace * static_cast<double>(trace_time.count()))),
                    Milliseconds(1), std::max(trace_time, Milliseconds(1)));
}

uint64_t ReplayWorker::BlockId(size_t index) const {
  uint64_t id;
  std::memcpy(&id, chain_[index].bytes.data(), sizeof(id));
  return id;
}

void ReplayWorker::WaitFor(const TraceRequest& request) const {
  if (job_.options.speed <= 0) return;
  const double trace_ms =
      static_cast<double>(request.timestamp_ms - job_.requests.front().timestamp_ms);
  std::this_thread::sleep_until(
      job_.start + std::chrono::duration_cast<Steady::duration>(
                       std::chrono::duration<double, std::milli>(trace_ms / job_.options.speed)));
}

bool ReplayWorker::Failed(const absl::Status& status) {
  ++counts_.errors;
  ++counts_.errors_by_name[absl::StatusCodeToString(status.code())];
  last_error_ = std::string(status.message());
  return false;
}

void ReplayWorker::BackOff(uint32_t failures_in_row) const {
  const uint32_t doublings = std::min(failures_in_row - 1, 16u);
  std::this_thread::sleep_for(
      std::min(job_.options.backoff_first * (1 << doublings), job_.options.backoff_max));
}

}  // namespace larder::cli
