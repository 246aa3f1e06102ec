// A server with an SSD tier is killed with SIGKILL again and again under clients that put and get:
// what was acknowledged as durable is served again, what is served is what was put, and the first
// hit comes soon.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/server_process.h"

namespace larder::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint32_t kChainBlocks = 16;
constexpr uint32_t kLayers = 4;
constexpr uint32_t kRowBytes = 1024;  // 64 KiB a block

class TierRestartTest : public ::testing::Test {
 protected:
  TierRestartTest() {
    std::string name = ::testing::TempDir() + "/tierXXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~TierRestartTest() override {
    client_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Start(std::vector<std::string> more = {}, const char* ssd_bytes = "256MiB") {
    std::vector<std::string> flags = {"--ssd-path",   directory_, "--ssd-bytes", ssd_bytes,
                                      "--dram-bytes", "16MiB",    "--codec",     "raw"};
    flags.insert(flags.end(), more.begin(), more.end());
    server_ = std::make_unique<ServerProcess>(flags);
    client_ = Client::Connect({.address = server_->address()}).value();
    WorkAs("default");
  }
  void WorkAs(const char* tenant) {
    space_ = client_->Register(KnownManifest("tier", kLayers, kRowBytes), tenant).value()[0];
  }
  void Kill() {
    server_->Kill();
    client_.reset();
    server_.reset();
  }

  // Puts chain `chain`; the number of blocks that were acknowledged as durable.
  uint32_t PutDurable(uint32_t chain) {
    PutOptions options;
    options.timeout = seconds(20);
    options.durability = Durability::kSsd;
    const auto results = client_->Put(space_, KnownChain(space_, chain, kChainBlocks), options);
    EXPECT_TRUE(results.ok()) << results.status();
    if (!results.ok()) return 0;
    uint32_t durable = 0;
    for (const PutResult& result : *results) {
      durable += result.durable;
      EXPECT_TRUE(result.durable) << PutOutcomeName(result.outcome) << ": " << result.message;
    }
    return durable;
  }
  // Blocks of the chain that are found, each fetched and compared; -1 when one is wrong.
  int Found(uint32_t chain) {
    std::vector<PrefixHash> hashes;
    for (uint32_t i = 0; i < kChainBlocks; ++i) hashes.push_back(KnownHash(chain, i));
    LookupOptions options;
    options.timeout = seconds(20);
    options.lease_ttl = milliseconds(10'000);
    const auto found = client_->Lookup(space_, hashes, options);
    if (!found.ok()) return -1;
    std::vector<std::vector<std::byte>> memory;
    std::vector<GetBlock> blocks;
    for (size_t i = 0; i < found->blocks.size(); ++i) {
      memory.emplace_back(RawBytesOf(space_));
      blocks.push_back({hashes[i], memory.back()});
    }
    if (blocks.empty()) return 0;
    GetOptions get;
    get.timeout = seconds(20);
    get.lease_id = found->lease_id;
    const auto got = client_->Get(space_, blocks, get);
    EXPECT_TRUE(client_->Release(found->lease_id).ok());
    if (!got.ok()) return -1;
    for (size_t i = 0; i < blocks.size(); ++i) {
      if ((*got)[i].hit && !IsKnown(hashes[i], memory[i])) return -1;
      if (!(*got)[i].hit) return static_cast<int>(i);
    }
    return static_cast<int>(blocks.size());
  }

  std::string directory_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Client> client_;
  Space space_;
};

TEST_F(TierRestartTest, DurableBlocksSurviveKills) {
  constexpr int kKills = 4;
  constexpr uint32_t kChainsPerRound = 8;
  uint32_t chains = 0;
  uint64_t compared = 0;
  for (int kill = 0; kill <= kKills; ++kill) {
    Start();
    for (uint32_t chain = 0; chain < chains; ++chain) {
      ASSERT_EQ(Found(chain), static_cast<int>(kChainBlocks)) << chain << ", kill " << kill;
      compared += kChainBlocks;
    }
    for (uint32_t i = 0; i < kChainsPerRound; ++i) ASSERT_EQ(PutDurable(chains++), kChainBlocks);
    Kill();
  }
  std::printf("%d kills, %u durable chains, %llu blocks compared after restarts\n", kKills + 1,
              chains, static_cast<unsigned long long>(compared));
  EXPECT_GE(compared, 1000u);
}

TEST_F(TierRestartTest, AnOrderlyRestartKeepsWhatWasInMemory) {
  Start({"--ssd-admission", "second_use"});
  for (uint32_t chain = 0; chain < 4; ++chain) {
    PutOptions options;
    options.timeout = seconds(20);
    ASSERT_TRUE(client_->Put(space_, KnownChain(space_, chain, kChainBlocks), options).ok());
  }
  server_->Terminate();
  ASSERT_EQ(server_->WaitExit(seconds(30)), std::optional<int>(0));
  client_.reset();
  server_.reset();
  Start();
  for (uint32_t chain = 0; chain < 4; ++chain) {
    EXPECT_EQ(Found(chain), static_cast<int>(kChainBlocks)) << chain;
  }
}

TEST_F(TierRestartTest, ATenantsShareOfSsdOutlastsFloodsAndAKill) {
  constexpr uint64_t kQuota = uint64_t{8} << 20;
  const std::vector<std::string> flags = {
      "--tenants", "kept=ssd_reserve_bytes:8MiB,noisy=ssd_quota_bytes:8MiB"};
  uint64_t samples = 0, most = 0;
  const auto used = [&](AdminClient& admin, std::string_view tenant) -> uint64_t {
    const auto stats = admin.Stats().value();
    for (const auto& each : stats.tenants()) {
      if (each.tenant() == tenant) return each.ssd_used_bytes();
    }
    ADD_FAILURE() << "no tenant " << tenant;
    return 0;
  };
  constexpr uint32_t kKept = 6;  // MiB, as a chain has one
  for (int run = 0; run < 2; ++run) {
    Start(flags, "64MiB");
    const auto admin = AdminClient::Connect({.address = server_->address()}).value();
    WorkAs("kept");
    // A restart may find more than SSD has room for, and until its space is registered no reserve protects
    // a tenant: what is there by then must stay.
    std::vector<int> found;
    for (uint32_t chain = 0; chain < kKept; ++chain) {
      if (run == 0) {
        ASSERT_EQ(PutDurable(chain), kChainBlocks);
      }
      found.push_back(Found(chain));
      ASSERT_GE(found.back(), run == 0 ? static_cast<int>(kChainBlocks) : 0);
      std::printf("run %d, chain %u: %d blocks before the floods\n", run, chain, found.back());
    }
    for (uint32_t chain = 0; chain < 30; ++chain) {
      const uint32_t number = 1'000 * (run + 1) + chain;
      WorkAs("noisy");
      ASSERT_EQ(PutDurable(number), kChainBlocks);
      WorkAs("default");
      ASSERT_EQ(PutDurable(number), kChainBlocks);
      const uint64_t now = used(*admin, "noisy");
      ASSERT_LE(now, kQuota);
      most = std::max(most, now);
      ++samples;
    }
    WorkAs("kept");
    for (uint32_t chain = 0; chain < kKept; ++chain) {
      EXPECT_EQ(Found(chain), found[chain]) << "run " << run << ", " << chain;
    }
    Kill();
  }
  std::printf("%llu samples, at most %llu bytes of a quota of %llu\n",
              static_cast<unsigned long long>(samples), static_cast<unsigned long long>(most),
              static_cast<unsigned long long>(kQuota));
  EXPECT_GT(most, kQuota - (uint64_t{1} << 20));  // it was reached
}

TEST_F(TierRestartTest, TwoServersNeverShareADirectory) {
  Start();
  ChildProcess second({LARDERD_PATH, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
                       "--ssd-path", directory_, "--ssd-bytes", "256MiB"});
  const auto status = second.WaitExit(seconds(30));
  ASSERT_TRUE(status.has_value());
  EXPECT_NE(*status, 0);
}

}  // namespace
}  // namespace larder::testing
