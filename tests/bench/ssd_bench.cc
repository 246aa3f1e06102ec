// The SSD tier alone, no server: appends and verified reads of frames of one size, reads beside
// writes, and the catalog by itself. tests/bench/ssd.sh runs it beside fio.
//
//   ssd_bench --directory DIR --frame-bytes 1048576 --depth 8 --seconds 5 --json out.json
//   ssd_bench --directory DIR --catalog-entries 1000000
//   ssd_bench --directory DIR --trace conversation_trace.jsonl --blocks 10000
//
// Every append goes through group commit, every read verifies record and frame; both count here.
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <semaphore>
#include <thread>

#include "server/base/log.h"
#include "server/ssd/catalog.h"
#include "tests/bench/ssd_replay.h"

namespace larder::bench {
namespace {

using server::SsdLocation;
using server::SsdTier;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

struct Settings {
  std::string directory;
  uint64_t frame_bytes = 1 << 20;
  uint32_t depth = 8;
  double seconds = 5;
  uint64_t budget_bytes = 2ull << 30;
  uint64_t write_rate = 400'000'000;  // bytes per second beside reads
  bool threads = false;
  uint64_t catalog_entries = 0;
  std::string trace;
  uint64_t blocks = 10'000;
  std::string json;
};

double SecondsSince(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}
double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Megabytes per second and CPU seconds per GB of a stretch of work.
class Meter {
 public:
  Json Result(uint64_t bytes) const {
    const double seconds = SecondsSince(begin_);
    return {{"mb_per_s", static_cast<double>(bytes) / 1e6 / seconds},
            {"cpu_s_per_gb", (CpuSeconds() - cpu_) / (static_cast<double>(bytes) / 1e9)}};
  }

 private:
  const Clock::time_point begin_ = Clock::now();
  const double cpu_ = CpuSeconds();
};

// A closed loop of reads: `depth` in flight, each end begins the next. Threads of the tier drive it.
class ReadLoop {
 public:
  ReadLoop(SsdTier& tier, const std::vector<StoredBlock>& blocks, bool random)
      : tier_(tier), blocks_(blocks), random_(random) {}

  Json Run(uint32_t depth, double seconds) {
    const Meter meter;
    end_ = Clock::now() +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    for (uint32_t i = 0; i < depth; ++i) Next();
    for (uint32_t i = 0; i < depth; ++i) ended_.acquire();
    Json result = meter.Result(bytes_);
    std::sort(micros_.begin(), micros_.end());
    if (!micros_.empty()) {
      result["p50_us"] = micros_[micros_.size() / 2];
      result["p99_us"] = micros_[micros_.size() * 99 / 100];
    }
    result["failed"] = failed_.load();
    return result;
  }

 private:
  void Next() {
    while (ReadOne()) {
    }
  }

  // True when the read ended at once, as one that is refused does: the caller goes on, or a run of them would nest.
  bool ReadOne() {
    const Clock::time_point begin = Clock::now();
    if (begin >= end_) {
      ended_.release();
      return false;
    }
    const uint64_t turn = turn_.fetch_add(1);
    const StoredBlock& block = blocks_[(random_ ? Scatter(turn) : turn) % blocks_.size()];
    // Whichever of the call and its end comes second goes on.
    const auto first_is_over = std::make_shared<std::atomic<bool>>(false);
    tier_.Read({.key = block.key,
                .location = block.location,
                .deadline = begin + std::chrono::seconds(30)},
               [this, begin, first_is_over](absl::StatusOr<server::SsdFrame> frame) {
                 Ended(begin, frame.ok() ? frame->bytes().size() : 0);
                 frame =
                     absl::UnknownError("given back");  // its memory, before the next read needs it
                 if (first_is_over->exchange(true)) Next();
               });
    return first_is_over->exchange(true);
  }

  void Ended(Clock::time_point begin, uint64_t bytes) {
    bytes_ += bytes;
    if (bytes == 0) ++failed_;
    server::MutexLock lock(mutex_);
    micros_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  static uint64_t Scatter(uint64_t turn) { return turn * 0x9E3779B97F4A7C15ull >> 17; }

  SsdTier& tier_;
  const std::vector<StoredBlock>& blocks_;
  const bool random_;
  Clock::time_point end_;
  std::atomic<uint64_t> turn_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> failed_{0};
  std::counting_semaphore<> ended_{0};
  server::Mutex mutex_;
  std::vector<double> micros_;
};

class Bench {
 public:
  explicit Bench(const Settings& settings)
      : settings_(settings),
        frames_(settings.frame_bytes),
        tier_(Open()),
        blocks_max_(tier_->usage().capacity_bytes / 4 * 3 / frames_.bytes()) {}

  Json Run() {
    Json result = {{"frame_bytes", frames_.bytes()}, {"depth", settings_.depth}};
    FillOnce();
    result["io_queue"] = std::string(tier_->usage().io_queue);
    {
      const Meter meter;
      const uint64_t bytes = WriteFor(settings_.seconds, 0);
      result["write"] = meter.Result(bytes);
    }
    const std::vector<StoredBlock> blocks = owner_.Stored();
    for (const bool random : {false, true}) {
      ReadLoop loop(*tier_, blocks, random);
      result[random ? "random_read" : "read"] = loop.Run(settings_.depth, settings_.seconds);
    }
    result["read_beside_writes"] = ReadBesideWrites(blocks);
    const server::SsdUsage usage = tier_->usage();
    result["write_amplification"] = WriteAmplification(usage);
    return result;
  }

 private:
  std::unique_ptr<SsdTier> Open() {
    server::SsdOptions options;
    options.directories = {settings_.directory + "/tier"};
    options.budget_bytes = settings_.budget_bytes;
    options.segment_bytes = 128 << 20;
    options.queue_depth = settings_.depth;
    options.io_uring = !settings_.threads;
    return OpenTier(options, clock_, owner_);
  }

  // Every segment written once: what is measured overwrites, as a tier in use does.
  void FillOnce() {
    uint64_t left = settings_.budget_bytes + settings_.budget_bytes / 4;
    while (left > 0) left -= std::min(left, WriteFor(0.2, 0));
  }

  // Appends at most `rate` bytes per second (0: as fast as they are taken); the bytes that ended well.
  uint64_t WriteFor(double seconds, uint64_t rate) {
    const Clock::time_point begin = Clock::now();
    std::atomic<uint64_t> ended{0};
    uint64_t taken = 0;
    std::atomic<uint64_t> in_flight{0};
    while (SecondsSince(begin) < seconds) {
      if (rate > 0 &&
          static_cast<double>(taken) > SecondsSince(begin) * static_cast<double>(rate)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      server::SsdAppend append = frames_.Next(clock_.Now() + std::chrono::seconds(30));
      const std::string key = append.record.key;
      ++in_flight;
      const absl::Status status = tier_->Append(std::move(append), [&, key](auto location) {
        if (location.ok()) {
          owner_.Add(key, *location);
          ended += location->frame_bytes;
          if (const auto gone = owner_.TakeBeyond(blocks_max_)) {
            tier_->Erase(gone->key, gone->location);
          }
        }
        --in_flight;
      });
      if (status.ok()) {
        taken += frames_.bytes();
      } else {
        --in_flight;  // the queue is full
        std::this_thread::sleep_for(std::chrono::microseconds(500));
      }
    }
    while (in_flight > 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    return ended;
  }

  Json ReadBesideWrites(const std::vector<StoredBlock>& all) {
    // The newest third, for as long as the writes evict none of it.
    const std::vector<StoredBlock> newest(all.end() - static_cast<int64_t>(all.size() / 3),
                                          all.end());
    const double older_bytes = static_cast<double>((all.size() - newest.size()) * frames_.bytes());
    const double seconds =
        std::min(settings_.seconds, older_bytes / static_cast<double>(settings_.write_rate) * 0.9);
    std::jthread writer([this, seconds] { WriteFor(seconds, settings_.write_rate); });
    ReadLoop loop(*tier_, newest, /*random=*/true);
    return loop.Run(settings_.depth, seconds);
  }

  const Settings settings_;
  const server::RealClock clock_;
  FrameSource frames_;
  KeepNothing owner_;
  std::unique_ptr<SsdTier> tier_;
  // The oldest is evicted beyond this many, as by a server that leaves a quarter free.
  const uint64_t blocks_max_;
};

Json RunCatalog(const Settings& settings) {
  const server::Catalog::Options options = {.path = settings.directory + "/catalog", .seed = 1};
  std::mt19937_64 random(1);
  Json result = {{"entries", settings.catalog_entries}};
  {
    auto catalog = server::Catalog::Open(options).value();
    const Clock::time_point begin = Clock::now();
    for (uint64_t i = 0; i < settings.catalog_entries;) {
      server::Catalog::Batch batch(*catalog);
      for (int n = 0; n < 1000 && i < settings.catalog_entries; ++n, ++i) {
        batch.Put(
            {.entry =
                 {.record = {.key = RandomKey(random), .parent = RandomKey(random)},
                  .location = {.segment = 1, .generation = 1, .offset = 64, .frame_bytes = 4096}},
             .sequence = i});
      }
      if (!catalog->Commit(batch, /*sync=*/false).ok()) std::abort();
    }
    result["puts_per_s"] = static_cast<double>(settings.catalog_entries) / SecondsSince(begin);
    result["written_bytes_per_entry"] = static_cast<double>(catalog->bytes_written()) /
                                        static_cast<double>(settings.catalog_entries);
    result["file_bytes_per_entry"] =
        static_cast<double>(catalog->file_bytes()) / static_cast<double>(settings.catalog_entries);
  }
  // In the state of a server that was just started, in this process: what malloc kept counts too.
  const uint64_t before = ResidentBytes();
  const Clock::time_point begin = Clock::now();
  auto catalog = server::Catalog::Open(options).value();
  result["open_s"] = SecondsSince(begin);
  uint64_t seen = 0;
  if (!catalog->ForEach([&](const server::StoredRecord&) { ++seen; }).ok()) std::abort();
  result["open_and_visit_s"] = SecondsSince(begin);
  result["seen"] = seen;
  for (int i = 0; i < 20'000; ++i) catalog->Find(RandomKey(random)).IgnoreError();
  result["resident_growth_bytes"] = ResidentBytes() - std::min(before, ResidentBytes());
  result["cache_bytes"] = options.cache_bytes;
  return result;
}

int Main(int argc, char** argv) {
  Settings settings;
  CLI::App app("The SSD tier alone");
  app.add_option("--directory", settings.directory, "an empty directory on the device")->required();
  app.add_option("--frame-bytes", settings.frame_bytes);
  app.add_option("--depth", settings.depth);
  app.add_option("--seconds", settings.seconds);
  app.add_option("--budget-bytes", settings.budget_bytes);
  app.add_option("--write-rate", settings.write_rate);
  app.add_flag("--threads", settings.threads, "the thread pool instead of io_uring");
  app.add_option("--catalog-entries", settings.catalog_entries, "only the catalog, with so many");
  app.add_option("--trace", settings.trace, "replay it over the tier under LRU");
  app.add_option("--blocks", settings.blocks, "that the LRU keeps");
  app.add_option("--json", settings.json);
  CLI11_PARSE(app, argc, argv);
  std::filesystem::create_directories(settings.directory);
  Json result;
  if (settings.catalog_entries > 0) {
    result = RunCatalog(settings);
  } else if (!settings.trace.empty()) {
    result = ReplayTrace({.trace = settings.trace,
                          .directory = settings.directory + "/tier",
                          .blocks = settings.blocks,
                          .frame_bytes = settings.frame_bytes});
  } else {
    result = Bench(settings).Run();
  }
  std::printf("%s\n", result.dump(2).c_str());
  if (!settings.json.empty()) std::ofstream(settings.json) << result.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) { return larder::bench::Main(argc, argv); }
