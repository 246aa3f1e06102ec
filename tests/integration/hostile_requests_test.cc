// Must hold while strangers send nonsense: every request is refused with a typed error, nothing is
// stored, memory stays bounded, budgets return to where they were, and another client's gets go on
// with the right bytes.
//   hostile_requests_test [--requests=N] [--seed=N]
#include "tests/integration/hostile_requests.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "client/shm_client_window.h"
#include "client/ucx_client_window.h"
#include "larder/v1/window.pb.h"
#include "proto/contract/grpc_status.h"
#include "tests/integration/command_line.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/server_process.h"

namespace larder::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

uint64_t requests_wanted = 10'000;  // per plane
uint64_t seed = 20'260'101;

constexpr int kSenders = 4;
constexpr uint64_t kWindowBytes = 1 << 20;
constexpr std::byte kUntouched{0xA5};
constexpr uint32_t kChainBlocks = 8;
constexpr uint64_t kReplays = 1000;
constexpr uint64_t kResidentGrowthMax = uint64_t{256} << 20;
constexpr seconds kBudgetsReturn{15};

// What came back, by kind and code, and the first answers that were wrong. Thread-safe.
class Tally {
 public:
  void Add(const HostileKind& kind, const HostileRequest& request, const HostileAnswer& answer) {
    const grpc::StatusCode code = answer.status.error_code();
    const bool typed = code != grpc::UNKNOWN && code != grpc::INTERNAL;
    const bool right = typed && (!kind.code || *kind.code == code) &&
                       (code != grpc::OK || IsRefusal(request, answer));
    std::lock_guard lock(mutex_);
    ++counts_[{kind.name, code}];
    ++total_;
    if (right) return;
    ++wrong_;
    if (wrong_ > kShownMax) return;
    ADD_FAILURE() << kind.name << " (" << request.method << "): code " << code << ", "
                  << answer.status.error_message();
  }

  uint64_t total() const { return total_; }
  uint64_t wrong() const { return wrong_; }
  size_t kinds() const {
    std::map<std::string, int> names;
    for (const auto& [key, count] : counts_) ++names[key.first];
    return names.size();
  }
  void Print() const {
    for (const auto& [key, count] : counts_) {
      std::printf("  %-32s code %2d  %8llu\n", key.first.c_str(), key.second,
                  static_cast<unsigned long long>(count));
    }
  }

 private:
  static constexpr uint64_t kShownMax = 20;
  std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> counts_;
  uint64_t total_ = 0;
  uint64_t wrong_ = 0;
};

class HostileRequestsTest : public ::testing::TestWithParam<PlaneKind> {
 protected:
  HostileRequestsTest()
      : server_({"--dram-bytes", "256MiB", "--ucx-listen", "127.0.0.1:0"}),
        admin_(AdminClient::Connect({.address = server_.address()}).value()),
        good_(Client::Connect({.address = server_.address()}).value()) {}

  v1::StatsResponse Stats() { return admin_->Stats().value(); }

  // Puts the chain that the good client reads, and the target of the hostile ones with a lease that
  // has ended.
  void Prepare() {
    good_space_ = good_->Register(KnownManifest("good", 4, 4096), "good").value()[0];
    const auto stored = good_->Put(good_space_, KnownChain(good_space_, 1, kChainBlocks));
    ASSERT_TRUE(stored.ok()) << stored.status();
    for (const PutResult& result : *stored) ASSERT_EQ(result.outcome, PutOutcome::kStored);
    target_.manifest = KnownManifest("target", 4, 32);
    target_.space = good_->Register(target_.manifest, "default").value()[0];
    const auto blocks = KnownChain(target_.space, 2, 1);
    ASSERT_EQ(good_->Put(target_.space, blocks).value()[0].outcome, PutOutcome::kStored);
    target_.resident = blocks[0].hash;
    const std::vector<PrefixHash> hashes = {target_.resident};
    const auto found =
        good_->Lookup(target_.space, hashes, {.lease_ttl = milliseconds(50)}).value();
    ASSERT_FALSE(found.lease_id.empty());
    target_.lease_ended = found.lease_id;
    while (Stats().leases() > 0) std::this_thread::sleep_for(milliseconds(10));
    window_ = OpenWindow();
    std::fill(window_->memory().begin(), window_->memory().end(), kUntouched);
    target_.window_id = std::string(window_->id());
    target_.window_bytes = kWindowBytes;
    target_.window_closed = OpenWindow()->id();
    for (int i = 0; i < 1000 && GetInto(target_.window_closed, 0).ok(); ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
  }

  std::shared_ptr<ClientWindow> OpenWindow() {
    const v1::CapabilitiesResponse server = good_->Capabilities().value();
    if (GetParam() == PlaneKind::kShm) {
      return ShmClientWindow::Open(server.shm_socket(), kWindowClient, kWindowBytes, true).value();
    }
    ClientOptions options{.address = server_.address(), .client_id = kWindowClient};
    options.window.bytes = kWindowBytes;
    return UcxClientWindow::Open(options, server.ucx_address()).value();
  }

  // A good get of the resident block, but for what is named here.
  grpc::Status GetInto(const std::string& window_id, uint64_t tag) {
    v1::GetToWindowRequest request;
    request.mutable_get()->set_space_id(target_.space.id);
    request.mutable_get()->add_prefix_hashes(std::string(target_.resident.view()));
    request.set_window_id(window_id);
    request.add_targets()->set_bytes(kWindowBytes);
    request.set_tag(tag);
    grpc::GenericStub stub(OwnConnection());
    HostileRequest sent{"Windows/GetToWindow", {request.SerializeAsString()}};
    sent.metadata = {{"larder-client", kWindowClient}};
    return Send(stub, sent).status;
  }

  // Under tags of calls that have ended or never were: a message plane pushes the block, nobody expects it, and nothing of
  // it is written.
  void ReplayOldCalls() {
    Random random(seed);
    for (uint64_t i = 0; i < kReplays; ++i) {
      ASSERT_TRUE(GetInto(target_.window_id, i % 2 == 0 ? random() : i).ok());
    }
  }

  std::shared_ptr<grpc::Channel> OwnConnection() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(server_.address(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  // Calls of the window's owner may come over its connection as well. There a put may name its blocks later.
  static bool GoesOverLink(const HostileKind& kind, const HostileRequest& request) {
    return (request.method == "Windows/GetToWindow" || request.method == "Windows/PutFromWindow") &&
           request.metadata[0].second == kWindowClient &&
           std::string_view(kind.name) != "put: blocks missing";
  }

  HostileAnswer SendOverLink(const HostileRequest& request) {
    const bool get = request.method == "Windows/GetToWindow";
    v1::WindowCall call;
    if (get) {
      call.mutable_get()->ParseFromString(request.messages[0]);
    } else {
      call.mutable_put()->ParseFromString(request.messages[0]);
    }
    const auto answered = std::make_shared<std::promise<absl::StatusOr<v1::WindowReply>>>();
    const auto started = window_->calls().Start(
        call, std::chrono::system_clock::now() + seconds(10),
        [answered](absl::StatusOr<v1::WindowReply> reply) { answered->set_value(reply); });
    auto answer = answered->get_future();
    if (!started || answer.wait_for(seconds(20)) != std::future_status::ready) {
      return {grpc::Status(grpc::UNKNOWN, "no answer over the window's connection"), {}};
    }
    const auto reply = answer.get();
    ++over_link_;
    if (!reply.ok()) return {ToGrpcStatus(reply.status()), {}};
    return {grpc::Status::OK,
            {get ? reply->get().SerializeAsString() : reply->put().SerializeAsString()}};
  }

  void SendMany(int sender, Tally* tally) {
    grpc::GenericStub stub(OwnConnection());
    const std::vector<HostileKind> kinds = HostileKinds();
    std::vector<int> weights;
    for (const HostileKind& kind : kinds) weights.push_back(kind.weight);
    std::discrete_distribution<size_t> choose(weights.begin(), weights.end());
    Random random(seed + static_cast<uint64_t>(sender));
    while (started_.fetch_add(1) < requests_wanted) {
      const HostileKind& kind = kinds[choose(random)];
      const HostileRequest request = kind.make(random, target_);
      if (random() % 2 == 0 && GoesOverLink(kind, request)) {
        tally->Add(kind, request, SendOverLink(request));
      } else if (request.closes_connection) {
        grpc::GenericStub other(OwnConnection());
        tally->Add(kind, request, Send(other, request));
      } else {
        tally->Add(kind, request, Send(stub, request));
      }
    }
  }

  // The good client: gets the whole chain again and again, until the hostile ones have ended.
  void GetAlong() {
    std::vector<std::byte> memory(kChainBlocks * RawBytesOf(good_space_));
    while (!ended_.load()) {
      std::vector<GetBlock> blocks;
      for (uint32_t i = 0; i < kChainBlocks; ++i) {
        const uint64_t bytes = RawBytesOf(good_space_);
        blocks.push_back({KnownHash(1, i), std::span(memory).subspan(i * bytes, bytes)});
      }
      const auto results = good_->Get(good_space_, blocks);
      bool right = results.ok();
      for (uint32_t i = 0; i < kChainBlocks && right; ++i) {
        right = (*results)[i].hit && IsKnown(blocks[i].hash, blocks[i].destination);
      }
      ++(right ? good_gets_ : bad_gets_);
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  void WatchMemory() {
    while (!ended_.load()) {
      resident_peak_ = std::max(resident_peak_, Stats().resident_memory_bytes());
      std::this_thread::sleep_for(milliseconds(50));
    }
  }

  bool BudgetsAreBack() {
    const v1::StatsResponse now = Stats();
    return now.ingest_bytes_in_flight() == 0 && now.pinned_blocks() == 0 &&
           now.put_streams() == 0 && now.get_streams() == 0 && now.leases() == 0;
  }

  ServerProcess server_;
  std::unique_ptr<AdminClient> admin_;
  std::unique_ptr<Client> good_;
  Space good_space_;
  HostileTarget target_;
  std::shared_ptr<ClientWindow> window_;
  std::atomic<uint64_t> started_{0};
  std::atomic<uint64_t> over_link_{0};
  std::atomic<bool> ended_{false};
  uint64_t good_gets_ = 0;
  uint64_t bad_gets_ = 0;
  uint64_t resident_peak_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Planes, HostileRequestsTest,
                         ::testing::Values(PlaneKind::kShm, PlaneKind::kUcx), [](const auto& test) {
                           return test.param == PlaneKind::kShm ? "Shm" : "Ucx";
                         });

TEST_P(HostileRequestsTest, EveryRequestIsRefusedAndNothingIsLeftBehind) {
  Prepare();
  const v1::StatsResponse before = Stats();
  Tally tally;
  const auto start = std::chrono::steady_clock::now();
  std::thread reader([this] { GetAlong(); });
  std::thread watcher([this] { WatchMemory(); });
  std::vector<std::thread> senders;
  for (int i = 0; i < kSenders; ++i)
    senders.emplace_back([this, i, &tally] { SendMany(i, &tally); });
  for (std::thread& sender : senders) sender.join();
  if (GetParam() == PlaneKind::kUcx) ReplayOldCalls();
  ended_.store(true);
  reader.join();
  watcher.join();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;

  const auto give_up = std::chrono::steady_clock::now() + kBudgetsReturn;
  while (!BudgetsAreBack() && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  const v1::StatsResponse after = Stats();
  tally.Print();
  std::printf(
      "seed %llu: %llu requests of %zu kinds, %llu over the window's connection, in %.1f s; good "
      "client %llu gets, %llu bad; resident "
      "MiB %.1f -> "
      "%.1f, peak %.1f\n",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(tally.total()),
      tally.kinds(), static_cast<unsigned long long>(over_link_.load()), elapsed.count(),
      static_cast<unsigned long long>(good_gets_), static_cast<unsigned long long>(bad_gets_),
      before.resident_memory_bytes() / 1048576.0, after.resident_memory_bytes() / 1048576.0,
      resident_peak_ / 1048576.0);

  EXPECT_EQ(tally.wrong(), 0u);
  EXPECT_GE(tally.total(), requests_wanted);
  EXPECT_EQ(tally.kinds(), HostileKinds().size());
  EXPECT_GE(over_link_, requests_wanted / 20);
  EXPECT_EQ(bad_gets_, 0u);
  const auto window = window_->memory();
  EXPECT_EQ(std::count(window.begin(), window.end(), kUntouched), ptrdiff_t{kWindowBytes});
  EXPECT_TRUE(window_->alive());
  EXPECT_GE(good_gets_, requests_wanted / 200);
  EXPECT_LE(resident_peak_, before.resident_memory_bytes() + kResidentGrowthMax);
  EXPECT_TRUE(BudgetsAreBack()) << after.ShortDebugString();
  EXPECT_EQ(after.stored_blocks(), before.stored_blocks());
  EXPECT_EQ(after.evicted_blocks(), before.evicted_blocks());
  EXPECT_EQ(after.spaces_size(), before.spaces_size());
  EXPECT_FALSE(server_.WaitExit(milliseconds(0)).has_value()) << "the server has ended";
}

}  // namespace
}  // namespace larder::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  using larder::testing::NumberOf;
  larder::testing::requests_wanted =
      NumberOf(argc, argv, "--requests=", larder::testing::requests_wanted);
  larder::testing::seed = NumberOf(argc, argv, "--seed=", larder::testing::seed);
  return RUN_ALL_TESTS();
}
