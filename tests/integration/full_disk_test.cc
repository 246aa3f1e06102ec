// The disk below the SSD tier is really full (a small file system that is filled up under load): puts and gets go
// on, nothing is wrong, the tier says so and recovers by itself. Needs the right to mount; skipped
// otherwise.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "larder/v1/admin.pb.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/server_process.h"

namespace larder::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr uint32_t kChainBlocks = 16;
constexpr uint32_t kLayers = 4;
constexpr uint32_t kRowBytes = 1024;  // 64 KiB a block, 1 MiB a chain
constexpr uint32_t kAge = 40;
constexpr auto kRecoverWithin = seconds(30);

class FullDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/fullXXXXXX";
    directory_ = ::mkdtemp(name.data());
    mounted_ = ::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=200m") == 0;
    if (!mounted_) GTEST_SKIP() << "a file system can not be mounted here";
    server_ = std::make_unique<ServerProcess>(
        std::vector<std::string>{"--ssd-path", directory_ + "/tier", "--ssd-bytes", "256MiB",
                                 "--dram-bytes", "16MiB", "--codec", "raw"});
    client_ = Client::Connect({.address = server_->address()}).value();
    admin_ = AdminClient::Connect({.address = server_->address()}).value();
    space_ = client_->Register(KnownManifest("full", kLayers, kRowBytes), "default").value()[0];
  }
  void TearDown() override {
    client_.reset();
    admin_.reset();
    server_.reset();
    if (mounted_) ::umount2(directory_.c_str(), MNT_DETACH);
    std::filesystem::remove_all(directory_);
  }

  v1::TierStats Ssd() {
    const auto stats = admin_->Stats({seconds(5)});
    EXPECT_TRUE(stats.ok()) << stats.status();
    for (const v1::TierStats& tier : stats->tiers()) {
      if (tier.tier() == v1::TIER_SSD) return tier;
    }
    return {};
  }
  bool WaitForHealth(const std::string& health) {
    const auto until = steady_clock::now() + kRecoverWithin;
    while (Ssd().health() != health && steady_clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    return Ssd().health() == health;
  }
  // Every call succeeds, whatever the disk does; blocks that come back are compared.
  void PutAndGet(uint32_t chain) {
    PutOptions put;
    put.timeout = seconds(5);
    const auto stored = client_->Put(space_, KnownChain(space_, chain, kChainBlocks), put);
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ(stored->front().outcome, PutOutcome::kStored) << stored->front().message;
    std::vector<std::vector<std::byte>> memory;
    std::vector<GetBlock> blocks;
    for (uint32_t i = 0; i < kChainBlocks; ++i) {
      memory.emplace_back(RawBytesOf(space_));
      // Older than memory's blocks, not than those of SSD.
      blocks.push_back({KnownHash(chain < kAge ? 0 : chain - kAge, i), memory.back()});
    }
    GetOptions get;
    get.timeout = seconds(5);
    const auto got = client_->Get(space_, blocks, get);
    ASSERT_TRUE(got.ok()) << got.status();
    for (uint32_t i = 0; i < kChainBlocks; ++i) {
      if (!(*got)[i].hit) continue;
      ++hits_;
      EXPECT_TRUE(IsKnown(blocks[i].hash, memory[i])) << chain << ", " << i;
    }
  }

  std::string directory_;
  bool mounted_ = false;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<AdminClient> admin_;
  Space space_;
  uint64_t hits_ = 0;
};

TEST_F(FullDiskTest, AFullDiskCostsHitsOnlyAndIsLeftBehind) {
  // The budget is larger than the disk: the tier fills it, says so, and serves from what it got.
  uint32_t chain = 0;
  while (chain < 200) PutAndGet(chain++);
  ASSERT_TRUE(WaitForHealth("degraded"));
  EXPECT_GT(Ssd().blocks(), 0u);
  // Somebody else takes the rest, to the last byte: the catalog can not grow either.
  {
    std::ofstream filler(directory_ + "/filler", std::ios::binary);
    const std::string megabyte(1 << 20, 'x');
    while (filler.write(megabyte.data(), static_cast<std::streamsize>(megabyte.size())).flush()) {
    }
  }
  ASSERT_EQ(std::filesystem::space(directory_).available, 0u);
  const uint64_t before = hits_;
  while (chain < 400) PutAndGet(chain++);
  EXPECT_GT(hits_, before);
  // There is room again.
  std::filesystem::remove(directory_ + "/filler");
  ASSERT_EQ(::mount("tmpfs", directory_.c_str(), "tmpfs", MS_REMOUNT, "size=400m"), 0);
  EXPECT_TRUE(WaitForHealth("ok"));
  const uint64_t held = Ssd().blocks();
  while (chain < 600) PutAndGet(chain++);
  EXPECT_GT(Ssd().blocks(), held);
  EXPECT_EQ(Ssd().health(), "ok");
}

}  // namespace
}  // namespace larder::testing
