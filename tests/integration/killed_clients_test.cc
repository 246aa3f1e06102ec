// Clients killed with SIGKILL in the middle of large puts and gets leave nothing behind: no
// reservation, no pin, no lease beyond its TTL, and no block that is not whole. The clients are
// this same program, started with --child.
//   killed_clients_test [--clients=N] [--seed=N]
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "tests/integration/command_line.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/server_process.h"

namespace larder::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string program;
uint64_t clients_wanted = 60;
uint64_t seed = 20'260'102;

constexpr uint32_t kLayers = 4;
constexpr uint32_t kRowBytes = 64 << 10;  // 4 MiB blocks
constexpr uint32_t kChainBlocks = 8;
constexpr uint32_t kChainsPerClient = 2;
constexpr uint32_t kSharedChain = 0;  // put by the test, got by the clients
constexpr uint64_t kClientsAtOnce = 4;
constexpr milliseconds kLeaseTtl{2'000};
constexpr seconds kSettle{20};
constexpr char kTransferring[] = "transferring";

// Chains of client `number`, from 0.
uint32_t ChainOf(uint64_t number, uint32_t i) {
  return static_cast<uint32_t>(1 + number * kChainsPerClient + i);
}

Space RegisterOn(Client& client) {
  return client.Register(KnownManifest("large", kLayers, kRowBytes), "default").value()[0];
}

std::vector<PrefixHash> HashesOf(uint32_t chain) {
  std::vector<PrefixHash> hashes;
  for (uint32_t i = 0; i < kChainBlocks; ++i) hashes.push_back(KnownHash(chain, i));
  return hashes;
}

// Gets the first `length` blocks of a chain; the number that came as hits with the right bytes.
uint32_t GetRight(Client& client, const Space& space, uint32_t chain, uint32_t length,
                  const GetOptions& options = {}) {
  const uint64_t raw_bytes = RawBytesOf(space);
  std::vector<std::byte> memory(raw_bytes * length);
  std::vector<GetBlock> blocks;
  for (uint32_t i = 0; i < length; ++i) {
    blocks.push_back({KnownHash(chain, i), std::span(memory).subspan(i * raw_bytes, raw_bytes)});
  }
  const auto results = client.Get(space, blocks, options);
  if (!results.ok()) return 0;
  uint32_t right = 0;
  for (uint32_t i = 0; i < length; ++i) {
    right += (*results)[i].hit && IsKnown(blocks[i].hash, blocks[i].destination);
  }
  return right;
}

// A client process: transfers until it is killed.
int RunChild(const std::string& verb, const std::string& address, uint64_t number) {
  const auto client = Client::Connect({.plane = PlaneChoice::kInline, .address = address}).value();
  const Space space = RegisterOn(*client);
  if (verb == "put") {
    std::vector<std::vector<PutBlock>> chains;
    for (uint32_t i = 0; i < kChainsPerClient; ++i) {
      chains.push_back(KnownChain(space, ChainOf(number, i), kChainBlocks));
    }
    std::puts(kTransferring);
    std::fflush(stdout);
    for (size_t i = 0;; ++i) static_cast<void>(client->Put(space, chains[i % chains.size()]));
  }
  for (bool told = false;;) {
    const auto hashes = HashesOf(kSharedChain);
    const auto found = client->Lookup(space, hashes, {.lease_ttl = kLeaseTtl});
    if (!found.ok() || found->blocks.size() != kChainBlocks) return 1;
    if (!told) std::puts(kTransferring);
    told = true;
    std::fflush(stdout);
    GetRight(*client, space, kSharedChain, kChainBlocks, {.lease_id = found->lease_id});
  }
}

class KilledClientsTest : public ::testing::Test {
 protected:
  KilledClientsTest()
      : server_({"--dram-bytes", "512MiB"}),
        admin_(AdminClient::Connect({.address = server_.address()}).value()),
        client_(Client::Connect({.address = server_.address()}).value()),
        space_(RegisterOn(*client_)),
        random_(seed) {}

  v1::StatsResponse Stats() { return admin_->Stats().value(); }

  std::unique_ptr<ChildProcess> StartClient(uint64_t number) {
    auto child = std::make_unique<ChildProcess>(std::vector<std::string>{
        program, number % 2 == 0 ? "--child=put" : "--child=get", "--address=" + server_.address(),
        "--number=" + std::to_string(number)});
    EXPECT_EQ(child->ReadLine(seconds(30)), kTransferring) << "client " << number;
    return child;
  }

  // Starts some clients, and kills each at a random moment of its transfers.
  void KillSome(uint64_t first, uint64_t count) {
    std::vector<std::unique_ptr<ChildProcess>> children;
    for (uint64_t i = 0; i < count; ++i) children.push_back(StartClient(first + i));
    std::shuffle(children.begin(), children.end(), random_);
    for (const auto& child : children) {
      std::this_thread::sleep_for(std::chrono::microseconds(random_() % 60'000));
      const v1::StatsResponse now = Stats();
      killed_in_put_ += now.put_streams() > 0;
      killed_in_get_ += now.get_streams() > 0;
      leases_seen_ = std::max(leases_seen_, now.leases());
      EXPECT_FALSE(child->WaitExit(milliseconds(0)).has_value()) << "a client ended by itself";
      child->Kill();
    }
  }

  // Gets everything that any client may have put. Every block that is said to be resident must come
  // with its bytes.
  void VerifyResidents() {
    for (uint64_t number = 0; number < clients_wanted; number += 2) {
      for (uint32_t i = 0; i < kChainsPerClient; ++i) {
        const uint32_t chain = ChainOf(number, i);
        const auto found =
            client_->Lookup(space_, HashesOf(chain), {.lease_ttl = seconds(60)}).value();
        const auto length = static_cast<uint32_t>(found.blocks.size());
        if (length == 0) continue;
        EXPECT_EQ(GetRight(*client_, space_, chain, length, {.lease_id = found.lease_id}), length);
        ASSERT_TRUE(client_->Release(found.lease_id).ok());
        blocks_verified_ += length;
        chains_cut_ += length < kChainBlocks;
      }
    }
  }

  bool IsQuiet() {
    const v1::StatsResponse now = Stats();
    return now.ingest_bytes_in_flight() == 0 && now.put_streams() == 0 && now.get_streams() == 0 &&
           now.leases() == 0 && now.pinned_blocks() == 0;
  }

  ServerProcess server_;
  std::unique_ptr<AdminClient> admin_;
  std::unique_ptr<Client> client_;
  Space space_;
  std::mt19937_64 random_;
  uint64_t killed_in_put_ = 0;
  uint64_t killed_in_get_ = 0;
  uint64_t leases_seen_ = 0;
  uint64_t blocks_verified_ = 0;
  uint64_t chains_cut_ = 0;
};

TEST_F(KilledClientsTest, LeaveNothingBehind) {
  const auto shared = client_->Put(space_, KnownChain(space_, kSharedChain, kChainBlocks));
  ASSERT_TRUE(shared.ok()) << shared.status();
  for (const PutResult& result : *shared) ASSERT_EQ(result.outcome, PutOutcome::kStored);
  // Puts of the clients evict; not what the others get.
  ASSERT_TRUE(client_->Retain(space_, HashesOf(kSharedChain), {.priority = 100}).ok());

  for (uint64_t first = 0; first < clients_wanted; first += kClientsAtOnce) {
    KillSome(first, std::min(kClientsAtOnce, clients_wanted - first));
  }
  const auto killed = std::chrono::steady_clock::now();
  while (!IsQuiet() && std::chrono::steady_clock::now() < killed + kLeaseTtl + kSettle) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  const std::chrono::duration<double> settled = std::chrono::steady_clock::now() - killed;
  EXPECT_TRUE(IsQuiet()) << Stats().ShortDebugString();
  VerifyResidents();
  EXPECT_EQ(GetRight(*client_, space_, kSharedChain, kChainBlocks), kChainBlocks);

  std::printf(
      "seed %llu: %llu clients killed, %llu while a put and %llu while a get was open; up to %llu "
      "leases, all "
      "quiet %.2f s after the last kill; %llu blocks verified, %llu chains cut short\n",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(clients_wanted),
      static_cast<unsigned long long>(killed_in_put_),
      static_cast<unsigned long long>(killed_in_get_),
      static_cast<unsigned long long>(leases_seen_), settled.count(),
      static_cast<unsigned long long>(blocks_verified_),
      static_cast<unsigned long long>(chains_cut_));
  EXPECT_GE(killed_in_put_, clients_wanted / 8);
  EXPECT_GE(killed_in_get_, clients_wanted / 8);
  EXPECT_GE(leases_seen_, 1u);
  EXPECT_GE(blocks_verified_, kChainBlocks);

  // What is left is only what the index knows: without it the tier is empty to the byte.
  while (Stats().pinned_blocks() > 0) std::this_thread::sleep_for(milliseconds(10));
  v1::EvictRequest everything;
  everything.set_space_id(space_.id);
  ASSERT_TRUE(admin_->Evict(everything).ok());
  EXPECT_EQ(Stats().tiers(0).blocks(), 0u);
  EXPECT_EQ(Stats().tiers(0).used_bytes(), 0u);
}

}  // namespace
}  // namespace larder::testing

int main(int argc, char** argv) {
  using namespace larder::testing;
  if (const auto verb = ArgumentOf(argc, argv, "--child=")) {
    return RunChild(*verb, ArgumentOf(argc, argv, "--address=").value_or(""),
                    NumberOf(argc, argv, "--number=", 0));
  }
  ::testing::InitGoogleTest(&argc, argv);
  program = argv[0];
  clients_wanted = NumberOf(argc, argv, "--clients=", clients_wanted);
  seed = NumberOf(argc, argv, "--seed=", seed);
  return RUN_ALL_TESTS();
}
