// A server that stands still in the middle of transfers (SIGSTOP, a long swap, a debugger): every call of its clients
// ends by its deadline, over every plane; when the server goes on, what it still writes reaches no block that a
// later call brings, and the window serves as before.
//   stopped_server_test [--stops=N] [--seed=N]
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "tests/integration/command_line.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/server_process.h"

namespace larder::testing {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

uint64_t stops_wanted = 8;
uint64_t seed = 20'261'127;

constexpr uint32_t kBlocks = 16;  // of 1 MiB
constexpr milliseconds kTimeout{250};
// The grace of a transfer that is late, and a machine that is busy; far below what "hangs" is.
constexpr milliseconds kOverrunMax{500};
constexpr microseconds kStopWithin{12'000};

struct Case {
  std::string name;
  PlaneChoice choice;
};

class StoppedServerTest : public ::testing::TestWithParam<Case> {
 protected:
  StoppedServerTest()
      : server_({"--dram-bytes", "256MiB", "--codec", "raw", "--ucx-listen", "127.0.0.1:0"}),
        client_(Client::Connect({.plane = GetParam().choice,
                                 .window = {.bytes = 96 << 20},
                                 .address = server_.address()})
                    .value()),
        space_(client_->Register(KnownManifest("stop", 4, 16 << 10), "default").value()[0]) {}

  // Gets and puts until told to end, each with little time; counts how late the latest was.
  void Work(uint32_t chain) {
    const auto put = KnownChain(space_, chain, kBlocks);
    PutOptions put_options;
    put_options.timeout = kTimeout;
    GetOptions options;
    options.timeout = kTimeout;
    std::vector<GetBlock> blocks;
    for (uint32_t i = 0; i < kBlocks; ++i) blocks.push_back({KnownHash(1, i), {}});
    while (!ending_) {
      Timed([&] { return client_->Put(space_, put, put_options).status(); });
      Timed([&] {
        const auto results = client_->Get(space_, blocks, options);
        for (uint32_t i = 0; results.ok() && i < kBlocks; ++i) {
          if (!(*results)[i].hit) continue;
          ++(IsKnown(blocks[i].hash, (*results)[i].view) ? hits_ : wrong_);
        }
        return results.status();
      });
    }
  }
  template <typename Call>
  void Timed(Call call) {
    const auto begin = Steady::now();
    const absl::Status status = call();
    const auto over = std::chrono::duration_cast<milliseconds>(Steady::now() - begin) - kTimeout;
    late_ += absl::IsDeadlineExceeded(status);
    int64_t latest = overrun_ms_;
    while (over.count() > latest && !overrun_ms_.compare_exchange_weak(latest, over.count())) {
    }
  }

  ServerProcess server_;
  std::unique_ptr<Client> client_;
  Space space_;
  std::atomic<bool> ending_{false};
  std::atomic<uint64_t> hits_{0}, wrong_{0}, late_{0};
  std::atomic<int64_t> overrun_ms_{0};
};

INSTANTIATE_TEST_SUITE_P(Planes, StoppedServerTest,
                         ::testing::Values(Case{"Inline", PlaneChoice::kInline},
                                           Case{"Shm", PlaneChoice::kShm},
                                           Case{"Ucx", PlaneChoice::kUcx}),
                         [](const auto& test) { return test.param.name; });

TEST_P(StoppedServerTest, EndsNoCallLateAndSpoilsNoLaterOne) {
  ASSERT_TRUE(client_->Put(space_, KnownChain(space_, 1, kBlocks)).ok());
  std::mt19937_64 random(seed);
  std::vector<std::thread> workers;
  for (uint32_t i = 0; i < 2; ++i) workers.emplace_back([this, i] { Work(10 + i); });
  for (uint64_t stop = 0; stop < stops_wanted; ++stop) {
    std::this_thread::sleep_for(milliseconds(20) + microseconds(random() % kStopWithin.count()));
    server_.Signal(SIGSTOP);
    std::this_thread::sleep_for(2 * kTimeout);
    server_.Signal(SIGCONT);
  }
  std::this_thread::sleep_for(milliseconds(100));
  ending_ = true;
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(wrong_, 0u);
  EXPECT_GT(hits_, 0u);
  EXPECT_GE(late_, stops_wanted);
  EXPECT_LT(overrun_ms_, kOverrunMax.count());

  std::vector<GetBlock> blocks;
  for (uint32_t i = 0; i < kBlocks; ++i) blocks.push_back({KnownHash(1, i), {}});
  const auto results = client_->Get(space_, blocks);
  ASSERT_TRUE(results.ok()) << results.status();
  for (uint32_t i = 0; i < kBlocks; ++i) {
    EXPECT_TRUE((*results)[i].hit && IsKnown(blocks[i].hash, (*results)[i].view)) << i;
  }
  const PlaneStatus plane = client_->plane();
  std::printf("%s: %llu blocks, %llu calls over their deadline, by %lld ms; %llu windows\n",
              GetParam().name.c_str(), static_cast<unsigned long long>(hits_),
              static_cast<unsigned long long>(late_), static_cast<long long>(overrun_ms_),
              static_cast<unsigned long long>(plane.windows_opened));
}

// More than the connection takes while nobody reads it.
TEST_P(StoppedServerTest, APutThatCanNotBeToldKeepsTheWindow) {
  space_ = client_->Register(KnownManifest("small", 8, 128), "default").value()[0];
  PutOptions options;
  options.timeout = kTimeout;
  server_.Signal(SIGSTOP);
  for (uint32_t i = 0; i < 3; ++i) {
    Timed([&] { return client_->Put(space_, KnownChain(space_, 20 + i, 250), options).status(); });
  }
  server_.Signal(SIGCONT);
  EXPECT_EQ(late_, 3u);
  EXPECT_LT(overrun_ms_, kOverrunMax.count());
  EXPECT_TRUE(client_->Put(space_, KnownChain(space_, 1, 250)).ok());
  EXPECT_LE(client_->plane().windows_opened, 1u);
}

}  // namespace
}  // namespace larder::testing

int main(int argc, char** argv) {
  using namespace larder::testing;
  stops_wanted = NumberOf(argc, argv, "--stops=", stops_wanted);
  seed = NumberOf(argc, argv, "--seed=", seed);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
