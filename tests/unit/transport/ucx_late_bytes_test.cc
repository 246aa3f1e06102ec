// Clients that are stopped in the middle of transfers and go on when those have ended without them: what they still
// send must find no memory of ours.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <random>
#include <thread>

#include "tests/integration/child_process.h"
#include "tests/unit/transport/ucx_pair.h"

namespace larder::transport {
namespace {

constexpr int kBlocks = 8;
constexpr size_t kBlockBytes = 4 << 20;
constexpr int kRounds = 12;
constexpr std::byte kOurs{0xEE};

TEST(UcxLateBytesTest, FindNoMemoryOfATransferThatHasEnded) {
  std::mt19937 random(20'261'127);
  int cut_off = 0;
  for (int round = 0; round < kRounds; ++round) {
    // A bystander keeps the worker at work.
    std::promise<std::shared_ptr<UcxPeer>> accepted[2];
    int next = 0;
    UcxWorker::Options options;
    options.listen = "127.0.0.1:0";
    options.accept = [&](const std::shared_ptr<UcxPeer>& peer, const UcxHello&) {
      accepted[next++].set_value(peer);
      return UcxWorker::Verdict{absl::OkStatus(), nullptr};
    };
    const auto worker = UcxWorker::Start(options).value();
    testing::ChildProcess bystander({UCX_CLIENT_PATH, worker->address(), "1", "1"});
    ASSERT_EQ(bystander.ReadLine(20s), "ready");
    testing::ChildProcess client({UCX_CLIENT_PATH, worker->address(), std::to_string(kBlocks),
                                  std::to_string(kBlockBytes)});
    ASSERT_EQ(client.ReadLine(20s), "ready");
    const auto peer = accepted[1].get_future().get();
    std::vector<std::vector<std::byte>> targets(kBlocks, std::vector<std::byte>(kBlockBytes));
    std::vector<EndedTransfer> ended(kBlocks);
    for (int i = 0; i < kBlocks; ++i) {
      peer->Pull(1001 + i, 0, SpansOf(targets[i], kBlockBytes), In(60ms), nullptr, ended[i].Done());
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 12'000));
    client.Signal(SIGSTOP);
    int done = 0;
    for (EndedTransfer& each : ended) done += each.Wait() == UcxEnd::kDone;
    cut_off += done > 0 && done < kBlocks;
    for (auto& target : targets) std::fill(target.begin(), target.end(), kOurs);
    client.Signal(SIGCONT);
    std::this_thread::sleep_for(100ms);
    for (const auto& target : targets) {
      EXPECT_EQ(static_cast<size_t>(std::count(target.begin(), target.end(), kOurs)), kBlockBytes);
    }
  }
  RecordProperty("cut_off_in_the_middle", cut_off);
  EXPECT_GT(cut_off, 0);
}

}  // namespace
}  // namespace larder::transport
