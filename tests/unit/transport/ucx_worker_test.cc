#include "transport/ucx_worker.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "tests/integration/child_process.h"
#include "tests/unit/transport/ucx_pair.h"

namespace larder::transport {
namespace {

// A process of its own that connects and then only waits.
class Client {
 public:
  Client(const std::string& address, int blocks, size_t block_bytes)
      : child_({UCX_CLIENT_PATH, address, std::to_string(blocks), std::to_string(block_bytes)}) {
    EXPECT_EQ(child_.ReadLine(20s), "ready");
  }
  void Signal(int signal) { child_.Signal(signal); }

 private:
  testing::ChildProcess child_;
};

// A server whose clients are processes.
class Server {
 public:
  Server() {
    UcxWorker::Options options;
    options.listen = "127.0.0.1:0";
    options.accept = [this](const std::shared_ptr<UcxPeer>& peer, const UcxHello&) {
      std::lock_guard lock(mutex_);
      peers_.push_back(peer);
      return UcxWorker::Verdict{absl::OkStatus(), [this] { ++gone; }};
    };
    worker = UcxWorker::Start(options).value();
  }
  ~Server() {
    peers_.clear();
    worker.reset();
  }
  std::shared_ptr<UcxPeer> peer(size_t index) {
    std::lock_guard lock(mutex_);
    return peers_.at(index);
  }
  std::atomic<int> gone{0};
  std::unique_ptr<UcxWorker> worker;

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<UcxPeer>> peers_;
};

constexpr int kBlocks = 8;
constexpr size_t kBlockBytes = 4 << 20;

struct Load {
  std::vector<std::byte> source = PatternBytes(kBlockBytes, 1);
  std::vector<std::vector<std::byte>> targets{kBlocks, std::vector<std::byte>(kBlockBytes)};
  std::vector<EndedTransfer> ended{2 * kBlocks};

  void Begin(UcxPeer& peer, std::chrono::milliseconds time) {
    for (int i = 0; i < kBlocks; ++i) {
      peer.Push(1 + i, SpansOf(source, kBlockBytes), In(time), ended[i].Done());
      peer.Pull(1001 + i, 0, SpansOf(targets[i], kBlockBytes), In(time), nullptr,
                ended[kBlocks + i].Done());
    }
  }
  int Count(UcxEnd end) {
    int count = 0;
    for (EndedTransfer& each : ended) count += each.Wait() == end;
    return count;
  }
};

TEST(UcxWorkerTest, RefusesAnUnknownWindow) {
  UcxPair pair;
  EXPECT_EQ(pair.Connect('x').code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(pair.Connect('w').ok());
}

TEST(UcxWorkerTest, ConnectsToNobodyWithinItsDeadline) {
  auto worker = UcxWorker::Start({}).value();
  for (const char* address : {"127.0.0.1:1", "127.0.0.1:nonsense", "nowhere", ""}) {
    std::promise<absl::Status> ended;
    worker->Connect(address, {}, In(300ms), nullptr,
                    [&](auto peer) { ended.set_value(peer.status()); });
    auto future = ended.get_future();
    ASSERT_EQ(future.wait_for(10s), std::future_status::ready) << address;
    EXPECT_FALSE(future.get().ok()) << address;
  }
}

TEST(UcxWorkerTest, StartRefusesBadAddresses) {
  UcxWorker::Options options;
  options.listen = "somewhere:1";
  EXPECT_EQ(UcxWorker::Start(options).status().code(), absl::StatusCode::kInvalidArgument);
  options = {};
  options.transports = "no_such_transport";
  EXPECT_EQ(UcxWorker::Start(options).status().code(), absl::StatusCode::kInternal);
}

TEST(UcxWorkerTest, AKilledClientEndsItsTransfersAndNoOthers) {
  Server server;
  Client first(server.worker->address(), kBlocks, kBlockBytes);
  Client second(server.worker->address(), kBlocks, kBlockBytes);
  Load load, other;
  load.Begin(*server.peer(0), 20s);
  other.Begin(*server.peer(1), 20s);
  first.Signal(SIGKILL);
  EXPECT_GT(load.Count(UcxEnd::kPeerGone), 0);
  EXPECT_EQ(other.Count(UcxEnd::kDone), 2 * kBlocks);
  // Told after the transfers.
  for (int i = 0; i < 1000 && server.gone == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(server.gone, 1);
}

TEST(UcxWorkerTest, AStoppedClientCostsItsDeadlineAndNoOthers) {
  Server server;
  Client first(server.worker->address(), kBlocks, kBlockBytes);
  Client second(server.worker->address(), kBlocks, kBlockBytes);
  first.Signal(SIGSTOP);
  Load load, other;
  const auto begin = std::chrono::steady_clock::now();
  load.Begin(*server.peer(0), 300ms);
  other.Begin(*server.peer(1), 20s);
  const int late = load.Count(UcxEnd::kOverDeadline);
  EXPECT_GE(late, kBlocks);  // the kernel may take blocks in its place
  EXPECT_EQ(late + load.Count(UcxEnd::kDone), 2 * kBlocks);
  const auto took = std::chrono::steady_clock::now() - begin;
  RecordProperty("stopped_client_ms", static_cast<int>(took / 1ms));
  EXPECT_EQ(other.Count(UcxEnd::kDone), 2 * kBlocks);
  first.Signal(SIGCONT);
}

// However fast the connection takes what is sent, the thread looks at deadlines and at its other work.
TEST(UcxWorkerTest, AFastPeerKeepsNoDeadlineWaiting) {
  for (const char* transports : {"tcp", "posix,sysv,cma,tcp"}) {
    constexpr int kPushes = 64;
    UcxPair pair(transports);
    ASSERT_TRUE(pair.Connect().ok());
    std::vector<std::byte> source(64 << 20);
    std::vector<EndedTransfer> arrived(kPushes), sent(kPushes);
    for (int i = 0; i < kPushes; ++i) {
      pair.client->Expect(i, source.size(), [](auto...) {}, arrived[i].Done());
    }
    for (int i = 0; i < kPushes; ++i) {
      pair.server->Push(i, SpansOf(source, source.size()), In(20ms), sent[i].Done());
    }
    // 4 GiB do not pass in that time.
    int late = 0;
    for (EndedTransfer& each : sent) late += each.Wait() == UcxEnd::kOverDeadline;
    EXPECT_GE(late, kPushes / 2) << transports;
  }
}

// Deadlines that pass while all is well end their own transfers and leave the connection as it is.
TEST(UcxWorkerTest, APassedDeadlineLeavesAHealthyConnection) {
  UcxPair pair;
  ASSERT_TRUE(pair.Connect().ok());
  std::vector<std::byte> source = PatternBytes(32 << 20, 1), target(32 << 20);
  EndedTransfer arrived, sent;
  pair.client->Expect(1, target.size(), ArriveIn(target), arrived.Done());
  pair.server->Push(1, SpansOf(source, source.size()), In(0ms), sent.Done());
  EXPECT_NE(sent.Wait(), UcxEnd::kPeerGone);
  pair.client->Withdraw(1);
  EXPECT_NE(arrived.Wait(), UcxEnd::kPeerGone);
  EndedTransfer second_arrived, second_sent;
  pair.client->Expect(2, target.size(), ArriveIn(target), second_arrived.Done());
  pair.server->Push(2, SpansOf(source, source.size()), In(20s), second_sent.Done());
  EXPECT_EQ(second_sent.Wait(), UcxEnd::kDone);
  EXPECT_EQ(second_arrived.Wait(), UcxEnd::kDone);
  EXPECT_TRUE(source == target);
}

}  // namespace
}  // namespace larder::transport
