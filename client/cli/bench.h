// Load for one operation on opaque blocks, measured from the client's side. One operation is one
// call on a chain of `batch` blocks.
//
//   get, lookup  Prepare() stores the working set; Measure() walks it round robin, each get into
//   its own part of a destination as large as
//                the working set, so nothing stays in the last-level cache when the set is larger
//                than that.
//   put          Measure() stores new chains for ever, from payload as large as the working set;
//   the server evicts the oldest.
//
// Worker t uses chains t, t + concurrency, ... so no two calls share a buffer. Payload is made in
// Prepare(), not in the measured loop, which only hashes new keys (put: about 0.3 us per block).
// Bytes are verified as the client library does: every checksum, on both ends.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/block_store.h"
#include "client/cli/latency_histogram.h"
#include "client/cli/progress.h"
#include "client/cli/synthetic_kv.h"
#include "client/device_memory.h"
#include "proto/contract/manifest.h"

namespace larder::cli {

enum class BenchOp { kPut, kGet, kLookup };

struct BenchOptions {
  BenchOp op = BenchOp::kGet;
  uint64_t block_bytes = 4u << 20;
  uint64_t blocks = 64;  // working set; a multiple of batch, at least batch * concurrency
  uint32_t batch = 1;
  uint32_t concurrency = 1;
  double seconds = 5;
  uint64_t nonce = 0;  // makes the keys of one run differ from those of every other
  CallOptions call;
  bool view = false;  // gets leave blocks where they landed
  uint32_t block_tokens = 16;
  std::string codec;  // of puts; empty: the server's choice
  // What blocks hold; null: random bytes. Of block_bytes; outlives the bench.
  const SyntheticKv* content = nullptr;
  // The payload's memory, blocks * block_bytes, 64-byte aligned; null: ordinary memory, or the device's.
  std::shared_ptr<std::byte> payload;
  std::shared_ptr<DeviceMemory> device;
};

struct BenchResult {
  uint64_t ops = 0;
  uint64_t blocks = 0;  // stored, fetched or found
  uint64_t bytes = 0;   // raw bytes of blocks stored or fetched; 0 for lookup
  uint64_t misses = 0;  // blocks that were not stored, fetched or found
  uint64_t errors = 0;  // failed calls
  std::string last_error;
  double wall_seconds = 0;
  double client_cpu_seconds = 0;
  LatencyHistogram latency;  // per operation
};

// One state snapshot of block_bytes per block of BenchOptions' tokens: bytes without a shape.
Manifest BenchManifest(uint64_t block_bytes);

class Bench {
 public:
  // INVALID_ARGUMENT naming the option.
  static absl::StatusOr<Bench> Create(BlockStore& store, const BenchOptions& options);

  // Fills the payload and, for get and lookup, stores the working set. Fails when a call fails; a
  // block that the server refuses or evicts shows later as a miss.
  absl::Status Prepare(Progress* progress);

  // Runs for `seconds`, on `concurrency` threads. A worker stops at its first failed call.
  BenchResult Measure();
  // With a device: bytes per second of copies alone, as one call at a time makes them, from (put: to) `host`, of one call's bytes.
  absl::StatusOr<double> MeasureDevice(std::span<std::byte> host) const;

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };

  Bench(BlockStore& store, const BenchOptions& options, std::shared_ptr<std::byte> payload);

  size_t chains() const { return options_.blocks / options_.batch; }
  // Hashes of the chain `number`; the working set is chains 0 to chains() - 1.
  std::vector<PrefixHash> ChainOf(uint64_t number) const;
  std::span<std::byte> Payload(size_t chain, size_t index) const;
  void FillBlock(uint64_t number, std::span<std::byte> block) const;
  // Writes `bytes` at this offset of the payload, wherever it is.
  absl::Status Write(uint64_t at, std::span<const std::byte> bytes) const;
  absl::Status AwaitDevice(DeviceWork& work) const;
  std::vector<PutBlock> PutsOf(size_t chain, const std::vector<PrefixHash>& hashes) const;
  void Work(uint32_t worker, std::chrono::steady_clock::time_point end, BenchResult& result) const;
  // One operation; `key` names the chain, `slot` its memory.
  absl::Status Operate(uint64_t key, size_t slot, BenchResult& result) const;

  BlockStore& store_;
  BenchOptions options_;
  std::shared_ptr<std::byte> payload_;  // shared with puts in flight
};

}  // namespace larder::cli
