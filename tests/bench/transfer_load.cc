#include "tests/bench/transfer_load.h"

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

namespace larder::bench {
namespace {

constexpr uint64_t kSampleStride = 4096;

std::byte PatternByte(uint64_t block, uint64_t offset) {
  return static_cast<std::byte>((block * 131 + offset / kSampleStride * 7 + 1) & 0xff);
}

// Every worker walks its own share of the working set in steps of one batch.
void RunWorker(const TransferOptions& options, const TransferFn& transfer, uint64_t worker,
               std::chrono::steady_clock::time_point end, std::vector<double>& latencies,
               std::atomic<bool>& failed) {
  const uint64_t batches = options.blocks / options.batch;
  uint64_t batch = worker * batches / options.concurrency;
  while (!failed && std::chrono::steady_clock::now() < end) {
    const auto begin = std::chrono::steady_clock::now();
    if (!transfer(worker, batch * options.batch)) {
      failed = true;
      return;
    }
    latencies.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    batch = (batch + 1) % batches;
  }
}

}  // namespace

void AddTransferFlags(CLI::App& app, TransferOptions& options) {
  app.add_option("--op", options.op, "get or put")->check(CLI::IsMember({"get", "put"}));
  app.add_option("--block-bytes", options.block_bytes)->check(CLI::Range(1ull, 1ull << 30));
  app.add_option("--blocks", options.blocks, "Blocks in the working set")
      ->check(CLI::Range(1ull, 1ull << 20));
  app.add_option("--batch", options.batch, "Blocks per operation")
      ->check(CLI::Range(1ull, 1ull << 20));
  app.add_option("--concurrency", options.concurrency, "Operations in flight")
      ->check(CLI::Range(1, 64));
  app.add_option("--seconds", options.seconds)->check(CLI::Range(0.1, 3600.0));
  app.add_option("--json", options.json, "Also write the report to this file");
}

WorkingSet::WorkingSet(uint64_t block_bytes, uint64_t blocks)
    : block_bytes_(block_bytes), blocks_(blocks), bytes_(new std::byte[block_bytes * blocks]) {
  for (uint64_t block = 0; block < blocks; ++block) {
    std::byte* begin = bytes_.get() + block * block_bytes;
    for (uint64_t offset = 0; offset < block_bytes; offset += kSampleStride) {
      const uint64_t n = std::min(kSampleStride, block_bytes - offset);
      std::memset(begin + offset, static_cast<int>(PatternByte(block, offset)), n);
    }
  }
}

std::span<std::byte> WorkingSet::Blocks(uint64_t first, uint64_t count) {
  return {bytes_.get() + first * block_bytes_, count * block_bytes_};
}

void WorkingSet::Clear() { std::memset(bytes_.get(), 0, block_bytes_ * blocks_); }

bool WorkingSet::IsIntact(uint64_t index) {
  const std::span<std::byte> block = Blocks(index, 1);
  for (uint64_t offset = 0; offset < block_bytes_; offset += kSampleStride) {
    if (block[offset] != PatternByte(index, offset)) return false;
  }
  return block.back() == PatternByte(index, block_bytes_ - 1);
}

int RunTransferLoad(const TransferOptions& options, const TransferFn& transfer,
                    const std::function<double()>& server_cpu_seconds) {
  if (options.batch > options.blocks) {
    std::cerr << "--batch must not exceed --blocks\n";
    return 2;
  }
  if (!transfer(0, 0)) return 1;  // connections open, buffers grown

  std::vector<std::vector<double>> latencies(options.concurrency);
  std::atomic<bool> failed = false;
  const double server_cpu_begin = server_cpu_seconds();
  const double client_cpu_begin = ProcessCpuSeconds();
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + std::chrono::nanoseconds(static_cast<int64_t>(options.seconds * 1e9));
  std::vector<std::thread> workers;
  for (uint64_t worker = 0; worker < options.concurrency; ++worker) {
    workers.emplace_back(
        [&, worker] { RunWorker(options, transfer, worker, end, latencies[worker], failed); });
  }
  for (std::thread& worker : workers) worker.join();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  const double client_cpu = ProcessCpuSeconds() - client_cpu_begin;
  const double server_cpu = server_cpu_seconds() - server_cpu_begin;
  if (failed) return 1;

  std::vector<double> all;
  for (const auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  const auto quantile = [&all](double at) {
    return all.empty() ? 0.0 : all[static_cast<size_t>(at * static_cast<double>(all.size() - 1))];
  };
  const double bytes = static_cast<double>(all.size() * options.batch * options.block_bytes);
  const nlohmann::ordered_json report = {
      {"op", options.op},
      {"bytes_per_second", bytes / wall.count()},
      {"ops_per_second", static_cast<double>(all.size()) / wall.count()},
      {"latency_seconds", {{"p50", quantile(0.5)}, {"p99", quantile(0.99)}}},
      {"client_cpu_seconds_per_gb", client_cpu / (bytes / 1e9)},
      {"server_cpu_seconds_per_gb", server_cpu / (bytes / 1e9)},
  };
  std::cout << report.dump() << "\n";
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << report.dump() << "\n";
    if (!file.flush()) {
      std::cerr << "cannot write " << options.json << "\n";
      return 1;
    }
  }
  return 0;
}

double ProcessCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void PrintReady(const std::string& listen) {
  const nlohmann::ordered_json ready = {{"event", "ready"}, {"listen", listen}};
  std::cout << ready.dump() << std::endl;
}

}  // namespace larder::bench
