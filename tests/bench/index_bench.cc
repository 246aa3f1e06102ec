// The block index alone, no server: prefix match, cost against size, memory per block, eviction.
// One thread.
//
// A block belongs to a chain of kChain blocks; matches ask for whole chains, picked at random, so
// that their memory is cold.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "server/base/metrics.h"
#include "server/policy/lru_order.h"
#include "server/store/block_index.h"

namespace larder::server {
namespace {

constexpr SpaceId kSpace = 42;
constexpr size_t kChain = 3000;
constexpr int kRuns = 5;

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Block `number`'s hash: 32 bytes that look random, as SHA-256 does.
PrefixHash HashOf(uint64_t number) {
  PrefixHash hash;
  hash.size = 32;
  std::mt19937_64 random(number);
  for (size_t at = 0; at < 32; at += 8) {
    const uint64_t word = random();
    std::memcpy(hash.bytes.data() + at, &word, 8);
  }
  return hash;
}

class IndexBench {
 public:
  explicit IndexBench(size_t blocks_max)
      : index_(
            blocks_max, [](OrderLinks& links) { return MakeLruOrder(links); },
            Fingerprinter(RandomSecret()), [](const Removed&) {}) {}

  // Adds blocks up to `blocks`, each chained to the one before it.
  void Grow(size_t blocks) {
    for (; size_ < blocks; ++size_) {
      const BlockRef parent = size_ % kChain == 0 ? kNoBlock : last_;
      last_ = index_.Insert(kSpace, 0, HashOf(size_), parent,
                            {static_cast<SlabRef>(size_), 100, 0, Fidelity::kExact}, {});
    }
  }

  // Median seconds of one match of `length` blocks, over cold chains; the hashes are made outside
  // the timing.
  double MatchSeconds(size_t length, size_t matches) {
    std::mt19937_64 random(7);
    std::vector<double> runs;
    for (int run = 0; run < kRuns; ++run) {
      std::vector<std::vector<PrefixHash>> queries(matches);
      for (auto& query : queries) {
        const uint64_t chain = random() % std::max<size_t>(1, size_ / kChain);
        const size_t first = size_ < kChain ? random() % (size_ - length + 1) : 0;
        for (size_t i = 0; i < length; ++i) query.push_back(HashOf(chain * kChain + first + i));
      }
      std::vector<BlockRef> found(length);
      const auto start = std::chrono::steady_clock::now();
      for (const auto& query : queries) {
        if (index_.Match(kSpace, query, Fidelity::kUnspecified, found).length != length)
          std::abort();
      }
      runs.push_back(Seconds(start) / static_cast<double>(matches));
    }
    return Median(runs);
  }

  double TouchSeconds() {
    std::mt19937_64 random(9);
    std::vector<double> runs;
    for (int run = 0; run < kRuns * 4; ++run) {
      const uint64_t chain = random() % (size_ / kChain);
      std::vector<PrefixHash> query;
      for (size_t i = 0; i < kChain; ++i) query.push_back(HashOf(chain * kChain + i));
      std::vector<BlockRef> found(kChain);
      index_.Match(kSpace, query, Fidelity::kUnspecified, found);
      const auto start = std::chrono::steady_clock::now();
      index_.TouchChain(found);
      runs.push_back(Seconds(start));
    }
    return Median(runs);
  }

  double EvictSeconds(size_t evictions) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < evictions; ++i) {
      if (!index_.EvictColdest()) std::abort();
    }
    return Seconds(start) / static_cast<double>(evictions);
  }

 private:
  BlockIndex index_;
  size_t size_ = 0;
  BlockRef last_ = kNoBlock;
};

int Main(int argc, char** argv) {
  CLI::App app("Benchmarks the block index at growing sizes");
  std::string json_path;
  size_t largest = 10'000'000;
  app.add_option("--json", json_path, "Write the figures as JSON");
  app.add_option("--blocks", largest, "Largest index, at least 1000000")
      ->check(CLI::Range(1'000'000, 200'000'000));
  CLI11_PARSE(app, argc, argv);

  nlohmann::ordered_json report = nlohmann::ordered_json::array();
  IndexBench bench(largest);
  uint64_t resident_at_million = 0;
  std::printf("%12s %16s %14s %16s %14s %12s\n", "blocks", "match 3000 [us]", "match 16 [ns]",
              "touch 3000 [us]", "evict [ns]", "bytes/block");
  std::vector<size_t> sizes = {10'000, 100'000, 1'000'000};
  if (largest > sizes.back()) sizes.push_back(largest);
  for (const size_t size : sizes) {
    bench.Grow(size);
    const uint64_t resident = ProcessResidentBytes();
    nlohmann::ordered_json row = {{"blocks", size}};
    row["match_3000_seconds"] = bench.MatchSeconds(kChain, 64);
    row["match_16_seconds"] = bench.MatchSeconds(16, 4096);
    row["touch_3000_seconds"] = bench.TouchSeconds();
    if (size == 1'000'000) resident_at_million = resident;
    if (size > 1'000'000) {
      row["bytes_per_block"] = static_cast<double>(resident - resident_at_million) /
                               static_cast<double>(size - 1'000'000);
    }
    if (size == sizes.back()) row["evict_seconds"] = bench.EvictSeconds(size / 10);
    std::printf("%12zu %16.1f %14.0f %16.1f", size, row["match_3000_seconds"].get<double>() * 1e6,
                row["match_16_seconds"].get<double>() * 1e9,
                row["touch_3000_seconds"].get<double>() * 1e6);
    row.contains("evict_seconds") ? std::printf(" %14.0f", row["evict_seconds"].get<double>() * 1e9)
                                  : std::printf(" %14s", "");
    row.contains("bytes_per_block") ? std::printf(" %12.1f\n", row["bytes_per_block"].get<double>())
                                    : std::printf("\n");
    std::fflush(stdout);
    report.push_back(row);
  }
  if (!json_path.empty()) std::ofstream(json_path) << report.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace larder::server

int main(int argc, char** argv) { return larder::server::Main(argc, argv); }
