// What the bookkeeping under the store costs, without any payload:
//   - slab allocator at full budget: utilisation, time of one allocate and one free, extents per
//   slab;
//   - eviction orders (through PriorityOrder, as the index uses them): time of insert, touch,
//   evict.
// Times of single calls include one clock reading (20 to 30 ns). Prints a table; --json FILE keeps
// it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "server/memory/slab_allocator.h"
#include "server/policy/lfuda_order.h"
#include "server/policy/lru_order.h"
#include "server/policy/priority_order.h"
#include "server/policy/s3fifo_order.h"

namespace larder::server {
namespace {

using Nanoseconds = std::chrono::duration<double, std::nano>;
using SteadyClock = std::chrono::steady_clock;
using Random = std::mt19937_64;

constexpr uint64_t kSmallestBytes = 4 << 10;
constexpr uint64_t kLargestBytes = 8 << 20;

uint64_t UniformBytes(Random& random) {
  return kSmallestBytes + random() % (kLargestBytes - kSmallestBytes + 1);
}
uint64_t LogUniformBytes(Random& random) {
  const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
  return static_cast<uint64_t>(kSmallestBytes * std::pow(kLargestBytes / kSmallestBytes, unit));
}

// Durations of many calls of one function.
class Samples {
 public:
  template <typename Call>
  void Time(Call call) {
    const auto start = SteadyClock::now();
    call();
    nanoseconds_.push_back(static_cast<float>(Nanoseconds(SteadyClock::now() - start).count()));
  }
  nlohmann::json Summary() {
    std::sort(nanoseconds_.begin(), nanoseconds_.end());
    const size_t n = nanoseconds_.size();
    return {{"calls", n},
            {"p50_ns", nanoseconds_[n / 2]},
            {"p99_ns", nanoseconds_[n * 99 / 100]},
            {"max_ns", nanoseconds_.back()}};
  }

 private:
  std::vector<float> nanoseconds_;
};

// Slabs coming and going at full budget: a size is asked for until it fits, and a random slab goes
// each time it does not. An operation is one allocation or one free (refusals come on top).
// Utilisation is what callers asked for, not the granules it takes, over the budget, at each
// refusal.
nlohmann::json BenchAllocator(uint64_t (*next_bytes)(Random&), uint64_t budget_bytes,
                              uint64_t operations) {
  struct Live {
    SlabRef slab;
    uint64_t bytes;
  };
  Random random(1);
  SlabAllocator slabs(static_cast<uint32_t>(budget_bytes / kGranuleBytes));
  std::vector<Live> live;
  Samples allocate, free;
  uint64_t used = 0, refused = 0, bytes = next_bytes(random);
  double utilisation_sum = 0, utilisation_min = 1;
  for (uint64_t operation = 0; operation < operations; ++operation) {
    const auto granules = static_cast<uint32_t>((bytes + kGranuleBytes - 1) / kGranuleBytes);
    std::optional<SlabRef> slab;
    allocate.Time([&] { slab = slabs.Allocate(granules); });
    if (slab.has_value()) {
      live.push_back({*slab, bytes});
      used += bytes;
      bytes = next_bytes(random);
      continue;
    }
    const double utilisation = static_cast<double>(used) / static_cast<double>(budget_bytes);
    utilisation_sum += utilisation;
    utilisation_min = std::min(utilisation_min, utilisation);
    ++refused;
    std::swap(live[random() % live.size()], live.back());
    const Live gone = live.back();
    live.pop_back();
    used -= gone.bytes;
    free.Time([&] { slabs.Free(gone.slab); });
  }
  size_t extents = 0, extents_max = 0;
  for (const Live& slab : live) {
    const size_t count = slabs.ExtentsOf(slab.slab).size();
    extents += count;
    extents_max = std::max(extents_max, count);
  }
  return {
      {"budget_bytes", budget_bytes},
      {"operations", operations},
      {"slabs", live.size()},
      {"utilisation_mean", utilisation_sum / static_cast<double>(refused)},
      {"utilisation_min", utilisation_min},
      {"utilisation_end", static_cast<double>(used) / static_cast<double>(budget_bytes)},
      {"extents_per_slab_mean", static_cast<double>(extents) / static_cast<double>(live.size())},
      {"extents_per_slab_max", extents_max},
      {"allocate", allocate.Summary()},
      {"free", free.Summary()}};
}

// Mean nanoseconds per call of `call(i)` for i in 0 .. calls-1.
template <typename Call>
double MeanNanoseconds(uint32_t calls, Call call) {
  const auto start = SteadyClock::now();
  for (uint32_t i = 0; i < calls; ++i) call(i);
  return Nanoseconds(SteadyClock::now() - start).count() / calls;
}

// Blocks are touched and replaced in random order, so that links are found in no cache.
nlohmann::json BenchOrder(const EvictionOrderFactory& factory, uint32_t blocks) {
  Random random(1);
  std::vector<BlockRef> touched(blocks);
  for (BlockRef& block : touched) block = static_cast<BlockRef>(random() % blocks);
  const auto fingerprint = [](uint64_t i) { return (i + 1) * 0x9e3779b97f4a7c15u; };

  OrderLinks links(blocks);
  PriorityOrder order(links, factory);
  const double insert = MeanNanoseconds(
      blocks, [&](uint32_t i) { order.Insert(i, fingerprint(i), kPriorityDefault); });
  const double touch = MeanNanoseconds(blocks, [&](uint32_t i) { order.Touch(touched[i]); });
  const double replace = MeanNanoseconds(blocks, [&](uint32_t i) {
    const BlockRef victim = order.Coldest();
    order.Remove(victim, fingerprint(victim));
    order.Insert(victim, fingerprint(uint64_t{blocks} + i), kPriorityDefault);
  });
  const double evict = MeanNanoseconds(blocks, [&](uint32_t) {
    const BlockRef victim = order.Coldest();
    order.Remove(victim, fingerprint(victim));
  });
  return {{"blocks", blocks},
          {"insert_ns", insert},
          {"touch_ns", touch},
          {"replace_ns", replace},
          {"evict_ns", evict}};
}

nlohmann::json BenchAllocators(uint64_t budget_bytes, uint64_t operations) {
  struct Case {
    const char* name;
    uint64_t (*next_bytes)(Random&);
  };
  std::printf("slab allocator, %.0f GiB, %llu operations of 4 KiB to 8 MiB at full budget\n",
              static_cast<double>(budget_bytes) / (1 << 30),
              static_cast<unsigned long long>(operations));
  std::printf("%-12s %9s %8s %8s %8s | %-26s | %-26s\n", "sizes", "used mean", "min", "ext mean",
              "ext max", "allocate ns p50/p99/max", "free ns p50/p99/max");
  nlohmann::json results;
  for (const Case& c : {Case{"uniform", UniformBytes}, Case{"log-uniform", LogUniformBytes}}) {
    nlohmann::json r = BenchAllocator(c.next_bytes, budget_bytes, operations);
    std::printf("%-12s %8.2f%% %7.2f%% %8.2f %8d | %7.0f %7.0f %10.0f | %7.0f %7.0f %10.0f\n",
                c.name, 100 * r["utilisation_mean"].get<double>(),
                100 * r["utilisation_min"].get<double>(), r["extents_per_slab_mean"].get<double>(),
                r["extents_per_slab_max"].get<int>(), r["allocate"]["p50_ns"].get<double>(),
                r["allocate"]["p99_ns"].get<double>(), r["allocate"]["max_ns"].get<double>(),
                r["free"]["p50_ns"].get<double>(), r["free"]["p99_ns"].get<double>(),
                r["free"]["max_ns"].get<double>());
    r["sizes"] = c.name;
    results.push_back(std::move(r));
  }
  return results;
}

nlohmann::json BenchOrders() {
  std::printf("\neviction orders, mean ns per call (replace: evict and insert at full budget)\n");
  std::printf("%-8s %10s %8s %8s %8s %8s\n", "policy", "blocks", "insert", "touch", "replace",
              "evict");
  nlohmann::json results;
  for (const uint32_t blocks : {1'000'000u, 10'000'000u}) {
    const EvictionOrderFactory s3fifo =
        [ghosts = std::make_shared<GhostTable>(blocks)](OrderLinks& links) {
          return MakeS3FifoOrder(links, ghosts);
        };
    for (const auto& [name, factory] :
         {std::pair<const char*, EvictionOrderFactory>("lru", MakeLruOrder),
          std::pair<const char*, EvictionOrderFactory>("s3fifo", s3fifo),
          std::pair<const char*, EvictionOrderFactory>("lfuda", MakeLfudaOrder)}) {
      nlohmann::json r = BenchOrder(factory, blocks);
      std::printf("%-8s %10u %8.1f %8.1f %8.1f %8.1f\n", name, blocks, r["insert_ns"].get<double>(),
                  r["touch_ns"].get<double>(), r["replace_ns"].get<double>(),
                  r["evict_ns"].get<double>());
      r["policy"] = name;
      results.push_back(std::move(r));
    }
  }
  return results;
}

}  // namespace
}  // namespace larder::server

int main(int argc, char** argv) {
  uint64_t budget_gib = 4;
  uint64_t operations = 1'000'000;
  std::string json_file;
  CLI::App app("Costs of the slab allocator and of the eviction orders.");
  app.add_option("--budget-gib", budget_gib, "budget of the allocator")->capture_default_str();
  app.add_option("--operations", operations, "allocations and frees")->capture_default_str();
  app.add_option("--json", json_file, "also write the results here");
  CLI11_PARSE(app, argc, argv);

  nlohmann::json results;
  results["allocator"] = larder::server::BenchAllocators(budget_gib << 30, operations);
  results["orders"] = larder::server::BenchOrders();
  if (json_file.empty()) return 0;
  std::ofstream file(json_file);
  file << results.dump(2) << '\n';
  return file.good() ? 0 : 1;
}
