// Clients that are killed, or stopped for a while, in the middle of transfers over one plane: nobody gets
// wrong bytes, nobody else waits, and windows, mappings, pins and reservations return to where they were. The
// clients are this same program, started with --child. A bystander's latencies are compared with those beside
// clients that come and go as often but end by themselves, so that only what the kills do to it counts.
//   plane_kills_test [--planes=shm,inline,ucx] [--kills=N] [--stops=N] [--seed=N]
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "tests/integration/command_line.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/scrape.h"
#include "tests/integration/server_process.h"

namespace larder::testing {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string program;
std::string planes = "shm,inline,ucx";
uint64_t kills_wanted = 24;
uint64_t stops_wanted = 12;
uint64_t seed = 20'260'901;

constexpr uint32_t kLayers = 4;
constexpr uint32_t kRowBytes = 16 << 10;  // 1 MiB blocks
constexpr uint32_t kChainBlocks = 8;
constexpr uint32_t kSharedChain = 0;  // put by the test, got by everybody
constexpr milliseconds kDeadline{10'000};
constexpr uint64_t kClientsAtOnce = 4;
constexpr int kGetsPerComparison = 5;
constexpr uint64_t kKillsForLatency = 400;  // fewer give no p99 to speak of
constexpr char kTransferring[] = "transferring";
constexpr int kExitWrongBytes = 3;

PlaneChoice PlaneOf(const std::string& name) {
  static const std::map<std::string, PlaneChoice> kChoices = {
      {"inline", PlaneChoice::kInline}, {"shm", PlaneChoice::kShm}, {"ucx", PlaneChoice::kUcx}};
  return kChoices.at(name);
}

std::unique_ptr<Client> Connect(const std::string& address, const std::string& plane) {
  ClientOptions options;
  options.plane = PlaneOf(plane);
  options.window.bytes = uint64_t{64} << 20;
  options.address = address;
  return Client::Connect(options).value();
}

Space RegisterOn(Client& client) {
  return client.Register(KnownManifest("kills", kLayers, kRowBytes), "default").value()[0];
}

// Gets a chain, which the library verifies.
absl::StatusOr<std::vector<GetResult>> GetChain(Client& client, const Space& space,
                                                uint32_t chain) {
  std::vector<GetBlock> blocks;
  for (uint32_t i = 0; i < kChainBlocks; ++i) blocks.push_back({KnownHash(chain, i), {}});
  GetOptions options;
  options.timeout = kDeadline;
  return client.Get(space, blocks, options);
}

// The same; how many blocks came with other bytes than theirs, and in `hits` how many with them.
uint64_t GetWrong(Client& client, const Space& space, uint32_t chain, uint64_t* hits) {
  const auto results = GetChain(client, space, chain);
  uint64_t wrong = 0;
  for (uint32_t i = 0; results.ok() && i < kChainBlocks; ++i) {
    if (!(*results)[i].hit) continue;
    const bool right = IsKnown(KnownHash(chain, i), (*results)[i].view);
    ++(right ? *hits : wrong);
  }
  return wrong;
}

std::atomic<bool> ending{false};

// A client process: puts and gets until it is killed, or told to end.
int RunChild(const std::string& address, const std::string& plane, uint64_t number) {
  std::signal(SIGTERM, [](int) { ending = true; });
  const auto client = Connect(address, plane);
  const Space space = RegisterOn(*client);
  const auto chain = static_cast<uint32_t>(1 + number % 16);
  const auto blocks = KnownChain(space, chain, kChainBlocks);
  std::puts(kTransferring);
  std::fflush(stdout);
  uint64_t hits = 0;
  while (!ending) {
    static_cast<void>(client->Put(space, blocks));
    // Comparing takes longer than a transfer of shared memory, in which most ought to be killed.
    for (int i = 0; i < 4; ++i) {
      const uint32_t which = i % 2 == 0 ? kSharedChain : chain;
      for (int j = 0; j < kGetsPerComparison; ++j) {
        static_cast<void>(GetChain(*client, space, which));
      }
      if (GetWrong(*client, space, which, &hits) > 0) return kExitWrongBytes;
    }
  }
  return 0;
}

// A client that only watches: gets the shared chain for as long as it lives.
class Bystander {
 public:
  Bystander(const std::string& address, const std::string& plane)
      : client_(Connect(address, plane)), thread_([this] { Run(); }) {}
  ~Bystander() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // Latencies so far, in milliseconds; and starts anew.
  double TakeP99() {
    std::lock_guard lock(mutex_);
    if (latencies_.empty()) return 0;
    std::sort(latencies_.begin(), latencies_.end());
    const double p99 = latencies_[latencies_.size() * 99 / 100];
    latencies_.clear();
    return p99;
  }
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> hangs{0};

 private:
  void Run() {
    const Space space = RegisterOn(*client_);
    while (!stop_) {
      uint64_t hits_now = 0;
      const auto begin = Steady::now();
      wrong += GetWrong(*client_, space, kSharedChain, &hits_now);
      const std::chrono::duration<double, std::milli> took = Steady::now() - begin;
      hits += hits_now;
      hangs += took > kDeadline + milliseconds(100);
      std::lock_guard lock(mutex_);
      latencies_.push_back(took.count());
    }
  }

  std::unique_ptr<Client> client_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<double> latencies_;
  std::thread thread_;
};

class PlaneKillsTest : public ::testing::Test {
 public:
  explicit PlaneKillsTest(std::string plane)
      : plane_(std::move(plane)),
        server_({"--dram-bytes", "512MiB", "--ucx-listen", "127.0.0.1:0"}),
        admin_(AdminClient::Connect({.address = server_.address()}).value()),
        client_(Connect(server_.address(), plane_)),
        space_(RegisterOn(*client_)),
        random_(seed) {}
  void TestBody() override;

 private:
  std::unique_ptr<ChildProcess> StartClient(uint64_t number) {
    auto child = std::make_unique<ChildProcess>(
        std::vector<std::string>{program, "--child=" + plane_, "--address=" + server_.address(),
                                 "--number=" + std::to_string(number)});
    EXPECT_EQ(child->ReadLine(seconds(60)), kTransferring) << "client " << number;
    return child;
  }
  void SleepUpTo(int microseconds) {
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % microseconds));
  }
  // Transfers that were under way at some kill or stop.
  void Look() {
    const v1::StatsResponse now = admin_->Stats().value();
    in_transfer_ += now.put_streams() + now.get_streams() > 1;
  }

  // Starts `count` clients, a few at a time, and ends each in the middle of its work.
  void ComeAndGo(uint64_t count, bool kill) {
    for (uint64_t first = 0; first < count; first += kClientsAtOnce) {
      std::vector<std::unique_ptr<ChildProcess>> children;
      for (uint64_t i = 0; i < std::min(kClientsAtOnce, count - first); ++i) {
        children.push_back(StartClient(first + i));
      }
      std::shuffle(children.begin(), children.end(), random_);
      for (const auto& child : children) {
        SleepUpTo(20'000);
        if (kill) Look();
        EXPECT_FALSE(child->WaitExit(milliseconds(0)).has_value()) << "a client ended by itself";
        kill ? child->Kill() : child->Signal(SIGTERM);
      }
      for (const auto& child : children) {
        if (!kill) {
          EXPECT_EQ(child->WaitExit(seconds(30)), 0);
        }
      }
    }
  }
  void StopAndGoOn() {
    std::vector<std::unique_ptr<ChildProcess>> children;
    for (uint64_t i = 0; i < kClientsAtOnce; ++i) children.push_back(StartClient(1000 + i));
    for (uint64_t stop = 0; stop < stops_wanted; ++stop) {
      const auto& child = children[random_() % children.size()];
      SleepUpTo(20'000);
      Look();
      child->Signal(SIGSTOP);
      SleepUpTo(100'000);
      child->Signal(SIGCONT);
      EXPECT_FALSE(child->WaitExit(milliseconds(0)).has_value()) << "a client ended by itself";
    }
    // One is stopped and never comes back.
    children[0]->Signal(SIGSTOP);
    SleepUpTo(20'000);
  }

  bool IsQuiet(const std::map<std::string, double>& before) {
    auto now = Scrape(server_.metrics_address());
    for (const char* name : {"larder_windows", "larder_window_bytes", "larder_pinned_blocks",
                             "larder_ingest_in_flight_bytes"}) {
      const auto at_start = before.find(name);
      if (at_start == before.end() || now[name] != at_start->second) return false;
    }
    return now["larder_streams{kind=\"put\"}"] + now["larder_streams{kind=\"get\"}"] == 0;
  }

  const std::string plane_;
  ServerProcess server_;
  std::unique_ptr<AdminClient> admin_;
  std::unique_ptr<Client> client_;
  Space space_;
  std::mt19937_64 random_;
  uint64_t in_transfer_ = 0;
};

void PlaneKillsTest::TestBody() {
  ASSERT_TRUE(client_->Put(space_, KnownChain(space_, kSharedChain, kChainBlocks)).ok());
  std::vector<PrefixHash> shared;
  for (uint32_t i = 0; i < kChainBlocks; ++i) shared.push_back(KnownHash(kSharedChain, i));
  ASSERT_TRUE(client_->Retain(space_, shared, {.priority = 100}).ok());
  const auto before = Scrape(server_.metrics_address());
  ASSERT_EQ(before.at("larder_windows"), plane_ == "inline" ? 0 : 1);

  auto bystander = std::make_unique<Bystander>(server_.address(), plane_);
  std::this_thread::sleep_for(milliseconds(500));
  const double p99_alone = bystander->TakeP99();
  ComeAndGo(std::max(kClientsAtOnce, kills_wanted / 4), false);
  const double p99_unharmed = bystander->TakeP99();
  ComeAndGo(kills_wanted, true);
  const double p99_kills = bystander->TakeP99();
  StopAndGoOn();
  const double p99_stops = bystander->TakeP99();
  bystander->Stop();

  const auto ended = Steady::now();
  const uint64_t hits = bystander->hits;
  EXPECT_EQ(bystander->wrong, 0u);
  EXPECT_EQ(bystander->hangs, 0u);
  EXPECT_GT(hits, 100u);
  bystander.reset();
  uint64_t still = 0;
  EXPECT_EQ(GetWrong(*client_, space_, kSharedChain, &still), 0u);
  EXPECT_EQ(still, kChainBlocks);
  while (!IsQuiet(before) && Steady::now() < ended + seconds(30)) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_TRUE(IsQuiet(before));
  std::printf(
      "%s, seed %llu: %llu kills, %llu stops, %llu of them in transfers; bystander %llu blocks, "
      "p99 %.1f ms alone, %.1f beside clients that end by themselves, %.1f beside kills, "
      "%.1f beside stops; quiet %.2f s later\n",
      plane_.c_str(), static_cast<unsigned long long>(seed),
      static_cast<unsigned long long>(kills_wanted), static_cast<unsigned long long>(stops_wanted),
      static_cast<unsigned long long>(in_transfer_), static_cast<unsigned long long>(hits),
      p99_alone, p99_unharmed, p99_kills, p99_stops,
      std::chrono::duration<double>(Steady::now() - ended).count());
  EXPECT_GE(in_transfer_, (kills_wanted + stops_wanted) / 10);
  if (kills_wanted >= kKillsForLatency) {
    EXPECT_LE(p99_kills, 2 * p99_unharmed);
  }
}

// One test per plane, which only main knows.
void RegisterTests() {
  std::istringstream list(planes);
  for (std::string plane; std::getline(list, plane, ',');) {
    ::testing::RegisterTest("PlaneKillsTest", ("HarmNobodyElseOver_" + plane).c_str(), nullptr,
                            nullptr, __FILE__, __LINE__,
                            [plane]() -> ::testing::Test* { return new PlaneKillsTest(plane); });
  }
}

}  // namespace
}  // namespace larder::testing

int main(int argc, char** argv) {
  using namespace larder::testing;
  if (const auto plane = ArgumentOf(argc, argv, "--child=")) {
    return RunChild(ArgumentOf(argc, argv, "--address=").value_or(""), *plane,
                    NumberOf(argc, argv, "--number=", 0));
  }
  program = argv[0];
  planes = ArgumentOf(argc, argv, "--planes=").value_or(planes);
  kills_wanted = NumberOf(argc, argv, "--kills=", kills_wanted);
  stops_wanted = NumberOf(argc, argv, "--stops=", stops_wanted);
  seed = NumberOf(argc, argv, "--seed=", seed);
  ::testing::InitGoogleTest(&argc, argv);
  RegisterTests();
  return RUN_ALL_TESTS();
}
