// The load that every transfer comparison in this folder runs, so that only the transport differs
// between them.
//
// A working set of `blocks` blocks on each side, prefaulted and larger than the last-level cache by
// default. Each of `concurrency` workers moves `batch` consecutive blocks per operation, waits for
// the operation to end, and goes on with the next ones, for `seconds`. CPU seconds are those of the
// whole process on each side, user and system, over exactly the timed part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace CLI {
class App;
}

namespace larder::bench {

enum class TransferOp { kGet, kPut };

struct TransferOptions {
  std::string op = "get";
  uint64_t block_bytes = 4 << 20;
  uint64_t blocks = 96;
  uint64_t batch = 1;
  uint64_t concurrency = 1;
  double seconds = 5;
  std::string json;  // also write the report here
};

// Flags with the fields' names, the same as those of `larder bench`.
void AddTransferFlags(CLI::App& app, TransferOptions& options);

// Blocks in one piece of memory, every page touched. Byte i of block b is a function of (b, i), so
// mixed-up blocks are noticed.
class WorkingSet {
 public:
  WorkingSet(uint64_t block_bytes, uint64_t blocks);
  // `count` blocks from `first` on, contiguous. `first + count` must not exceed `blocks`.
  std::span<std::byte> Blocks(uint64_t first, uint64_t count);
  uint64_t block_bytes() const { return block_bytes_; }
  uint64_t blocks() const { return blocks_; }
  void Clear();
  // True when block `index` holds what the constructor wrote (sampled: one byte per 4 KiB and the
  // last).
  bool IsIntact(uint64_t index);

 private:
  uint64_t block_bytes_;
  uint64_t blocks_;
  std::unique_ptr<std::byte[]> bytes_;
};

// One operation of `worker` on blocks [first, first + batch). Returns false when it failed, which
// ends the run.
using TransferFn = std::function<bool(uint64_t worker, uint64_t first)>;

// Runs the load and prints one JSON object: op, bytes_per_second, ops_per_second,
// client_cpu_seconds_per_gb, server_cpu_seconds_per_gb (GB = 1e9 bytes). `server_cpu_seconds` asks
// the server for its process's CPU time so far. Returns the exit code for main.
int RunTransferLoad(const TransferOptions& options, const TransferFn& transfer,
                    const std::function<double()>& server_cpu_seconds);

// CPU seconds of this process so far.
double ProcessCpuSeconds();

// The line that tells a script where the server listens:
// {"event":"ready","listen":"127.0.0.1:PORT"}.
void PrintReady(const std::string& listen);

}  // namespace larder::bench
