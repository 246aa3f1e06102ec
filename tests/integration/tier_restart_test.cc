// A server with an SSD tier is killed with SIGKILL again and again under clients that put and get:
// what was acknowledged as durable is served again, what is served is what was put, and the first
// hit comes soon.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

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

  void Start(std::vector<std::string> more = {}) {
    std::vector<std::string> flags = {"--ssd-path",   directory_, "--ssd-bytes", "256MiB",
                                      "--dram-bytes", "16MiB",    "--codec",     "raw"};
    flags.insert(flags.end(), more.begin(), more.end());
    server_ = std::make_unique<ServerProcess>(flags);
    client_ = Client::Connect({.address = server_->address()}).value();
    space_ = client_->Register(KnownManifest("tier", kLayers, kRowBytes), "default").value()[0];
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
