// Kills larderd_faults with SIGKILL, over and over, at random moments and at fault points, under a mixed load,
// starts it again on the same directory, and holds every answer against what the harness itself knows.
//
//   crash_harness [--cycles=N] [--seed=N] [--threads=N] [--points=A,B,...] [--planted-bug=NAME] [--ssd=0]
//                 [--hbm=off|fake|cuda] [--server=FILE]
//   crash_harness --prove [--cycles=N] [--seed=N]      plants each bug in turn; each must be noticed within N cycles
//
// Every second life has an HBM tier: in host memory (fake, the default), or on the first CUDA device.
// --server: the larderd_faults to run, when it is not where it was built.
//
// Exit status 0: no promise was broken and enough was done, or every bug was noticed. 1: a promise was broken, or a
// bug was not noticed. 3: too little was done to tell.
// The last line says what was done. With the same seed the harness makes the same choices; the threads of
// the machine do not, so a violation is found again only with probability: run more cycles.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/base/fault_board.h"
#include "server/base/planted_bug.h"
#include "tests/fault/crash_load.h"
#include "tests/integration/child_process.h"
#include "tests/integration/command_line.h"

namespace larder::testing {
namespace {

using server::FaultBoard;
using server::kFaultPointCount;
using server::kFaultPoints;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kStartWithin{20'000};
constexpr milliseconds kEndWithin{20'000};
constexpr uint64_t kSsdBytes = uint64_t{64} << 20;
constexpr uint64_t kDamagedOneIn = 8;
constexpr uint64_t kSickOneIn = 5;
constexpr uint64_t kStartKilledOneIn = 4;
constexpr milliseconds kStartKilledWithin{150};
constexpr milliseconds kSickFor{400};
constexpr milliseconds kWellWithin{10'000};
constexpr uint64_t kDamagedFileMin = uint64_t{1} << 20;
constexpr int kBitFlipsPerFile = 200;
constexpr int kExitBroken = 1;
constexpr int kExitTooLittle = 3;
// Below this a cycle has shown nothing.
constexpr uint64_t kPutsPerCycleMin = 20;
constexpr uint64_t kHitsPerCycleMin = 20;

struct HarnessOptions {
  uint64_t cycles = 12;
  uint64_t seed = 20'260'501;
  uint64_t threads = 4;
  bool ssd = true;                  // false: a server with memory alone
  std::string hbm = "fake";         // "off", "fake", "cuda"
  std::string server = LARDERD_FAULTS_PATH;
  std::vector<std::string> points;  // each must be reached; all when empty
  std::string planted_bug;
};

class Harness {
 public:
  explicit Harness(const HarnessOptions& options)
      : options_(options), world_(options.seed, options.ssd), random_(options.seed) {
    if (!options.planted_bug.empty()) world_.violations.KeepQuiet();
    std::string pattern = (std::filesystem::temp_directory_path() / "larder-crash-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    directory_ = pattern;
    board_ = FaultBoard::Open(directory_ / "board").value();
  }
  ~Harness() {
    server_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  int Run() {
    const auto start = steady_clock::now();
    while (cycles_ < options_.cycles && world_.violations.count() == 0) Cycle();
    if (world_.violations.count() == 0) LastLife();
    seconds_ = std::chrono::duration<double>(steady_clock::now() - start).count();
    if (!options_.planted_bug.empty()) {
      std::printf("%-26s %s in %" PRIu64 " cycles, %.1f s%s\n", options_.planted_bug.c_str(),
                  world_.violations.count() > 0 ? "noticed" : "NOT NOTICED", cycles_, seconds_,
                  world_.violations.count() > 0 ? (": " + world_.violations.first()).c_str() : "");
      return world_.violations.count() > 0 ? kExitBroken : 0;
    }
    PrintSummary();
    if (world_.violations.count() > 0) return kExitBroken;
    return DidEnough() ? 0 : kExitTooLittle;
  }

 private:
  bool StartServer() {
    std::vector<std::string> command = {options_.server,
                                        "--listen",
                                        "127.0.0.1:0",
                                        "--metrics-listen",
                                        "127.0.0.1:0",
                                        "--log-level",
                                        "error",
                                        "--dram-bytes",
                                        "16MiB",
                                        "--fault-board",
                                        (directory_ / "board").string()};
    if (options_.ssd) {
      command.insert(command.end(), {"--ssd-path", ssd_directory().string(), "--ssd-bytes",
                                     std::to_string(kSsdBytes), "--ssd-staging-bytes", "16MiB",
                                     "--ssd-codec-by-model", kCrashSsdCodecs});
    }
    if (options_.hbm != "off" && cycles_ % 2 == 0) {
      command.insert(command.end(), {"--hbm-bytes", "16MiB"});
      if (options_.hbm == "fake") command.emplace_back("--hbm-fake");
    }
    if (!options_.planted_bug.empty()) {
      command.insert(command.end(), {"--planted-bug", options_.planted_bug});
    }
    server_ = std::make_unique<ChildProcess>(command);
    const auto begun = steady_clock::now();
    const auto line = server_->ReadLine(kStartWithin);
    start_seconds_max_ = std::max(
        start_seconds_max_, std::chrono::duration<double>(steady_clock::now() - begun).count());
    const auto ready = nlohmann::json::parse(line.value_or(""), nullptr, false);
    address_ = ready.is_object() ? ready.value("listen", "") : "";
    return !address_.empty();
  }

  // A life begins: a server that serves, and clients. Null after a violation.
  std::unique_ptr<CrashLife> Begin() {
    world_.ledger.NextLife();
    if (!StartServer()) {
      world_.violations.Report("the server did not start again");
      return nullptr;
    }
    auto life = CrashLife::Open(world_, address_);
    // On a starved machine a connection may take longer than gRPC gives it; the calls do not retry.
    for (const auto until = steady_clock::now() + kStartWithin;
         !life.ok() && steady_clock::now() < until; life = CrashLife::Open(world_, address_)) {
      std::this_thread::sleep_for(milliseconds(50));
    }
    if (!life.ok()) {
      world_.violations.Report("no client could begin: " + std::string(life.status().ToString()));
      return nullptr;
    }
    // A server that answers has restored what is on SSD.
    Parallel(
        [&](uint32_t part) { (*life)->Verify(part, static_cast<uint32_t>(options_.threads)); });
    if ((*life)->server_gone()) {
      world_.violations.Report("the server went away while it was verified");
      return nullptr;
    }
    return *std::move(life);
  }

  template <typename Job>
  void Parallel(Job job) {
    std::vector<std::thread> threads;
    for (uint32_t part = 0; part < options_.threads; ++part) threads.emplace_back(job, part);
    for (std::thread& thread : threads) thread.join();
  }

  std::filesystem::path ssd_directory() const { return directory_ / "ssd"; }

  // A start that is itself killed must not harm the next one.
  void KillDuringStart() {
    const std::string plans[] = {"ssd.recover=kill@n1", "ssd.read=kill@n2",
                                 "catalog.commit=kill@n1",
                                 "restore.block=kill@n" + std::to_string(1 + random_() % 500)};
    board_->SetPlan(plans[random_() % std::size(plans)]).IgnoreError();  // they are valid
    StartServer();  // it may end before it is ready
    server_->WaitExit(kStartKilledWithin);
    EndByKill();
    board_->SetPlan("").IgnoreError();  // the empty plan is valid
  }

  // Flips bits of the files that hold frames, while no server runs.
  void DamageFiles() {
    world_.ReleaseKeepers();
    world_.damaged.store(true);
    for (const auto& entry : std::filesystem::directory_iterator(ssd_directory())) {
      if (!entry.is_regular_file() || entry.file_size() < kDamagedFileMin) continue;
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      for (int i = 0; i < kBitFlipsPerFile; ++i) {
        const auto at = static_cast<std::streamoff>(random_() % entry.file_size());
        char byte = 0;
        file.seekg(at).get(byte);
        byte ^= static_cast<char>(1 << random_() % 8);
        file.seekp(at).put(byte);
      }
      bits_flipped_ += kBitFlipsPerFile;
    }
  }

  // While the load runs the disk fails, is full or slow, and then works again: the load meets misses and
  // refusals in time, and the tier comes back without a restart.
  void SickenDisk(CrashLife& life) {
    constexpr const char* kSicknesses[] = {
        "ssd.read=eio@1", "ssd.write=eio@1", "ssd.read=eio@1;ssd.write=eio@1",
        "ssd.write=enospc@1;ssd.grow=enospc@1", "ssd.read=delay:400@0.5;ssd.write=delay:400@0.5"};
    board_->SetPlan(kSicknesses[sick_cycles_++ % std::size(kSicknesses)]).IgnoreError();  // valid
    const auto sick_until = steady_clock::now() + kSickFor;
    bool raised = false;
    while (steady_clock::now() < sick_until) {
      raised |= life.SsdHealth() != "ok";
      std::this_thread::sleep_for(milliseconds(10));
    }
    sick_raised_ += raised;
    board_->SetPlan("").IgnoreError();  // the empty plan is valid
    const auto begun = steady_clock::now();
    while (!life.server_gone() && life.SsdHealth() != "ok" &&
           steady_clock::now() < begun + kWellWithin) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    well_seconds_max_ = std::max(
        well_seconds_max_, std::chrono::duration<double>(steady_clock::now() - begun).count());
    const std::string health = life.SsdHealth();
    if (health == "ok" || life.server_gone()) return;  // a kill of the cycle's plan came first
    world_.violations.Report("the SSD tier does not recover from a sick disk: " + health);
  }

  void CheckFiles() {
    if (!options_.ssd) return;
    uint64_t bytes = 0;
    std::error_code gone;  // the catalog makes and removes files
    for (const auto& entry : std::filesystem::recursive_directory_iterator(ssd_directory(), gone)) {
      const uint64_t size = entry.is_regular_file(gone) ? entry.file_size(gone) : 0;
      if (!gone) bytes += size;
    }
    if (bytes <= kSsdBytes) return;
    world_.violations.Report("the SSD tier's files take " + std::to_string(bytes) + " of " +
                             std::to_string(kSsdBytes) + " bytes");
  }

  // Errors and delays that every server must take in its stride, and in half of the cycles a kill.
  std::string PlanOfCycle() {
    std::string plan = "seed=" + std::to_string(random_() % 1'000'000) +
                       ";put.budget=fail@0.01;put.reserve=fail@0.005;slab.reserve=fail@0.01"
                       ";get.pin=delay:3@0.002;put.published=delay:2@0.002"
                       ";hbm.reserve=fail@0.01;hbm.fill=fail@0.2"
                       ";hbm.filled=fail@0.02;hbm.read=fail@0.01";
    if (options_.ssd) plan += ";ssd.read=delay:2@0.01;catalog.committed=delay:3@0.05";
    if (world_.damaged.load()) plan += ";ssd.read=flip@0.02;hbm.read=flip@1";
    if (random_() % 2 == 0) return plan;
    std::string_view point;
    while (!IsReachable(point = kFaultPoints[random_() % kFaultPointCount])) {
    }
    const auto nth =
        static_cast<uint64_t>(std::exp2(std::uniform_real_distribution<>(0, 9)(random_)));
    return plan + ";" + std::string(point) + "=kill@n" + std::to_string(nth);
  }

  void Cycle() {
    ++cycles_;
    board_->SetPlan("").IgnoreError();  // the empty plan is valid
    if (options_.ssd && cycles_ % kStartKilledOneIn == 1) KillDuringStart();
    const bool damaged = options_.ssd && cycles_ % kDamagedOneIn == 0;
    if (damaged) DamageFiles();
    auto life = Begin();
    if (life == nullptr) return;
    if (const auto status = board_->SetPlan(PlanOfCycle()); !status.ok()) {
      world_.violations.Report(std::string(status.ToString()));
    }
    // Most lives are short; some see what takes time, as the end of a TTL.
    const milliseconds length(cycles_ % 8 == 2 ? 1'000 : 120 + random_() % 400);
    const uint64_t seed = random_();
    std::thread load([&] { Parallel([&](uint32_t part) { life->Work(seed + part); }); });
    if (options_.ssd && cycles_ % kSickOneIn == 3) SickenDisk(*life);
    const auto until = steady_clock::now() + length;
    while (steady_clock::now() < until && !life->server_gone()) {
      life->CheckBudgets();
      std::this_thread::sleep_for(milliseconds(5));
    }
    if (life->server_gone()) {
      // Reaped below; a moment passes between the last answer and the end of the process.
      server_->WaitExit(kEndWithin);
    }
    life->Stop();
    EndByKill();
    load.join();
    CheckFiles();
    if (!damaged) return;
    world_.ReleaseKeepers();
    world_.damaged.store(false);
    // What was damaged and not found yet may be found later: begin anew.
    std::filesystem::remove_all(ssd_directory());
  }

  void EndByKill() {
    const bool ended = server_->WaitExit(milliseconds(0)).has_value();
    if (!ended) {
      server_->Kill();
      ++random_kills_;
    }
    const int status = server_->WaitExit(milliseconds(0)).value_or(0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
      world_.violations.Report("the server ended by itself, wait status " + std::to_string(status));
    }
    ++kills_;
  }

  // Without faults: the load ends, the server becomes quiet, and SIGTERM ends it in order.
  void LastLife() {
    board_->SetPlan("").IgnoreError();  // the empty plan is valid
    const auto life = Begin();
    if (life == nullptr) return;
    std::thread load([&] { Parallel([&](uint32_t part) { life->Work(options_.seed + part); }); });
    std::this_thread::sleep_for(milliseconds(300));
    life->Stop();
    load.join();
    life->CheckQuiet();
    server_->Signal(SIGTERM);
    const auto status = server_->WaitExit(kEndWithin);
    if (status == 0) return;
    world_.violations.Report(status ? "SIGTERM ends the server with wait status " +
                                          std::to_string(*status)
                                    : "SIGTERM does not end the server");
  }

  // Without an SSD tier its points are not on any path.
  bool IsReachable(std::string_view point) const {
    static constexpr std::string_view kOfSsd[] = {"ssd.", "catalog.", "migrate.", "restore.",
                                                  "get.ssd"};
    if (point.starts_with("hbm.")) return options_.hbm != "off";
    return options_.ssd || std::none_of(std::begin(kOfSsd), std::end(kOfSsd),
                                        [&](auto prefix) { return point.starts_with(prefix); });
  }

  bool IsWanted(std::string_view point) const {
    if (options_.points.empty()) return IsReachable(point);
    return std::find(options_.points.begin(), options_.points.end(), point) !=
           options_.points.end();
  }

  bool DidEnough() const {
    const CrashCounts& done = world_.counts;
    bool enough = kills_ >= options_.cycles && done.puts >= kPutsPerCycleMin * cycles_ &&
                  done.hits >= kHitsPerCycleMin * cycles_ && done.conflicts > 0 &&
                  done.evictions > 0 && done.leased_hits > 0 && done.keepers_verified > 0 &&
                  (!options_.ssd || (done.durable_verified > 0 && sick_raised_ > 0));
    if (!enough) std::printf("too little was done\n");
    for (size_t i = 0; i < kFaultPointCount; ++i) {
      if (!IsWanted(kFaultPoints[i]) || board_->reached(i) > 0) continue;
      std::printf("fault point %s was never reached\n", std::string(kFaultPoints[i]).c_str());
      enough = false;
    }
    return enough;
  }

  void PrintSummary() const {
    const CrashCounts& done = world_.counts;
    uint64_t kills_at_points = 0;
    for (size_t i = 0; i < kFaultPointCount; ++i) {
      if (board_->reached(i) == 0) continue;
      std::printf("  %-16s reached %8" PRIu64 "  fired %6" PRIu64 "  kills %4" PRIu64 "\n",
                  std::string(kFaultPoints[i]).c_str(), board_->reached(i), board_->fired(i),
                  board_->kills(i));
      kills_at_points += board_->kills(i);
    }
    std::printf("seed %" PRIu64 ": %" PRIu64 " cycles in %.1f s, %" PRIu64 " kills (%" PRIu64
                " at fault points, %" PRIu64
                " at random); slowest start %.2f s\n"
                "puts %" PRIu64 " (stored %" PRIu64 ", conflict %" PRIu64 ", refused %" PRIu64
                ", torn %" PRIu64 "); gets %" PRIu64 " (hits %" PRIu64 ", leased %" PRIu64
                ", after a restart %" PRIu64 ")\nkeepers acknowledged %" PRIu64
                ", verified %" PRIu64 "; durable %" PRIu64 ", verified in a later life %" PRIu64
                "; bits flipped %" PRIu64 ", quarantined %" PRIu64 "\nsick disk %" PRIu64
                " times (%" PRIu64
                " seen in the tier's health), well within %.2f s"
                "\nremoved chains %" PRIu64 ", expiries checked %" PRIu64 ", retains %" PRIu64
                "; failed calls %" PRIu64 ", latest answer %" PRId64
                " ms after its deadline\nviolations %" PRIu64 "\n",
                options_.seed, cycles_, seconds_, kills_, kills_at_points, random_kills_,
                start_seconds_max_, done.puts.load(), done.stored.load(), done.conflicts.load(),
                done.refused.load(), done.torn.load(), done.gets.load(), done.hits.load(),
                done.leased_hits.load(), done.survivors.load(), done.keepers_acknowledged.load(),
                done.keepers_verified.load(), done.durable_acknowledged.load(),
                done.durable_verified.load(), bits_flipped_, done.quarantined.load(), sick_cycles_,
                sick_raised_, well_seconds_max_, done.evictions.load(), done.expiries.load(),
                done.retains.load(), done.failed_calls.load(), done.overrun_ms_max.load(),
                world_.violations.count());
  }

  const HarnessOptions options_;
  CrashWorld world_;
  std::mt19937_64 random_;
  std::filesystem::path directory_;
  std::unique_ptr<FaultBoard> board_;
  std::unique_ptr<ChildProcess> server_;
  std::string address_;
  uint64_t cycles_ = 0;
  uint64_t kills_ = 0;
  uint64_t random_kills_ = 0;
  uint64_t bits_flipped_ = 0;
  uint64_t sick_cycles_ = 0;
  uint64_t sick_raised_ = 0;
  double well_seconds_max_ = 0;
  double seconds_ = 0;
  double start_seconds_max_ = 0;
};

std::vector<std::string> SplitAtCommas(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// Whether the harness can tell a good server from bad ones.
int Prove(HarnessOptions options) {
  size_t noticed = 0;
  for (const std::string_view bug : server::kPlantedBugs) {
    options.planted_bug = bug;
    noticed += Harness(options).Run() == kExitBroken;
    std::fflush(stdout);
  }
  std::printf("seed %" PRIu64 ": %zu of %zu planted bugs noticed\n", options.seed, noticed,
              server::kPlantedBugCount);
  return noticed == server::kPlantedBugCount ? 0 : kExitBroken;
}

}  // namespace
}  // namespace larder::testing

int main(int argc, char** argv) {
  using namespace larder::testing;
  HarnessOptions options;
  if (!AllKnown(argc, argv,
                {"--cycles=", "--seed=", "--threads=", "--points=", "--planted-bug=", "--ssd=",
                 "--hbm=", "--server=", "--prove"})) {
    std::fprintf(stderr, "the first lines of tests/fault/crash_harness.cc say what there is\n");
    return 2;
  }
  options.cycles = NumberOf(argc, argv, "--cycles=", options.cycles);
  options.seed = NumberOf(argc, argv, "--seed=", options.seed);
  options.threads = NumberOf(argc, argv, "--threads=", options.threads);
  options.points = SplitAtCommas(ArgumentOf(argc, argv, "--points=").value_or(""));
  options.planted_bug = ArgumentOf(argc, argv, "--planted-bug=").value_or("");
  options.ssd = NumberOf(argc, argv, "--ssd=", 1) != 0;
  options.hbm = ArgumentOf(argc, argv, "--hbm=").value_or(options.hbm);
  if (options.hbm != "off" && options.hbm != "fake" && options.hbm != "cuda") {
    std::fprintf(stderr, "--hbm=%s: expected off, fake or cuda\n", options.hbm.c_str());
    return 2;
  }
  options.server = ArgumentOf(argc, argv, "--server=").value_or(options.server);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--prove") return Prove(options);
  }
  return Harness(options).Run();
}
