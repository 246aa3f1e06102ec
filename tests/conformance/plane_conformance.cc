// What every plane must do, as a client sees it, run over every plane of a whole server: inline (gRPC), shared
// memory, UCX over TCP, and with its shared-memory transports allowed beside (for connections of its listener it takes
// TCP all the same: transport/FORMAT.md). The same demands as on windows
// (transport_conformance.cc), of which inline has none, with blocks in the place of ranges.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <future>
#include <thread>

#include "client/client.h"
#include "server/server.h"
#include "tests/integration/known_blocks.h"

namespace larder {
namespace {

using namespace std::chrono_literals;
using testing::IsKnown;
using testing::KnownChain;
using testing::KnownHash;

constexpr uint32_t kLayers = 4;
constexpr size_t kGuardBytes = 256;
constexpr std::byte kGuard{0xA5};
constexpr auto kAnswerWithin = 30s;

struct Case {
  std::string name;
  PlaneChoice choice;
  PlaneKind kind;
  std::string ucx_transports = "tcp";
};

class PlaneConformance : public ::testing::TestWithParam<Case> {
 protected:
  PlaneConformance() {
    server::Config config;
    config.listen = config.metrics_listen = "127.0.0.1:0";
    config.dram_bytes = uint64_t{256} << 20;
    config.codec = "raw";
    config.ucx_listen = "127.0.0.1:0";
    config.ucx_transports = GetParam().ucx_transports;
    server_ = server::Server::Start(config).value();
    client_ = Connect(GetParam().choice);
    EXPECT_EQ(client_->plane().plane, GetParam().kind);
  }

  std::unique_ptr<Client> Connect(PlaneChoice plane) const {
    return Client::Connect({.plane = plane,
                            .window = {.bytes = 64 << 20},
                            .ucx_transports = GetParam().ucx_transports,
                            .address = server_->listen()})
        .value();
  }
  // Blocks of kLayers x 16 rows.
  Space SpaceOf(Client& client, uint32_t row_bytes) const {
    return client.Register(testing::KnownManifest("m", kLayers, row_bytes), "default")->front();
  }
  static void Put(Client& client, const Space& space, uint32_t chain, uint32_t length) {
    const auto results = client.Put(space, KnownChain(space, chain, length));
    ASSERT_TRUE(results.ok()) << results.status();
    for (const PutResult& each : *results) ASSERT_EQ(each.outcome, PutOutcome::kStored);
  }
  // Memory for a chain's blocks, a guard before and behind each.
  class Memory {
   public:
    Memory(const Space& space, uint32_t chain, uint32_t length)
        : bytes_(testing::RawBytesOf(space)), memory_(length) {
      for (uint32_t i = 0; i < length; ++i) {
        memory_[i].assign(bytes_ + 2 * kGuardBytes, kGuard);
        blocks.push_back({KnownHash(chain, i), std::span(memory_[i]).subspan(kGuardBytes, bytes_)});
      }
    }
    // Every hit is right, nothing beside a block was touched; how many hits.
    size_t Check(const std::vector<GetResult>& results) const {
      size_t hits = 0;
      const std::vector<std::byte> guard(kGuardBytes, kGuard);
      for (size_t i = 0; i < blocks.size(); ++i) {
        const std::byte* const at = memory_[i].data();
        EXPECT_EQ(std::memcmp(at, guard.data(), kGuardBytes), 0) << i;
        EXPECT_EQ(std::memcmp(at + kGuardBytes + bytes_, guard.data(), kGuardBytes), 0) << i;
        EXPECT_TRUE(!results[i].hit || IsKnown(blocks[i].hash, blocks[i].destination)) << i;
        hits += results[i].hit;
      }
      return hits;
    }
    std::vector<GetBlock> blocks;

   private:
    size_t bytes_;
    std::vector<std::vector<std::byte>> memory_;
  };
  static size_t Get(Client& client, const Space& space, uint32_t chain, uint32_t length) {
    const Memory memory(space, chain, length);
    const auto results = client.Get(space, memory.blocks);
    EXPECT_TRUE(results.ok()) << results.status();
    return results.ok() ? memory.Check(*results) : 0;
  }

  std::unique_ptr<server::Server> server_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(
    Planes, PlaneConformance,
    ::testing::Values(Case{"Inline", PlaneChoice::kInline, PlaneKind::kInline},
                      Case{"Shm", PlaneChoice::kShm, PlaneKind::kShm},
                      Case{"UcxTcp", PlaneChoice::kUcx, PlaneKind::kUcx},
                      Case{"UcxMoreAllowed", PlaneChoice::kUcx, PlaneKind::kUcx,
                           "posix,sysv,cma,tcp"}),
    [](const auto& test) { return test.param.name; });

TEST_P(PlaneConformance, PutsAndGetsExactlyTheirBytes) {
  const auto other = Connect(PlaneChoice::kInline);
  // 64 B to 4 MiB a block, also of lengths that no plane's steps divide.
  for (const uint32_t row_bytes : {1u, 64u, 521u, 2048u, 16'384u, 65'544u}) {
    const Space space = SpaceOf(*client_, row_bytes);
    Put(*client_, space, row_bytes, 3);
    EXPECT_EQ(Get(*client_, space, row_bytes, 4), 3u) << row_bytes;
    for (int time = 0; time < 3; ++time) {  // copies into a window go past the caches and into them
      EXPECT_EQ(Get(*client_, space, row_bytes, 3), 3u) << row_bytes;
    }
    EXPECT_EQ(Get(*other, SpaceOf(*other, row_bytes), row_bytes, 4), 3u) << row_bytes;
  }
}

TEST_P(PlaneConformance, ReadsParts) {
  const Space space = SpaceOf(*client_, 16'384);
  Put(*client_, space, 1, 3);
  const Memory memory(space, 1, 3);
  const size_t layer_bytes = testing::RawBytesOf(space) / kLayers;
  const auto expected = KnownChain(space, 1, 3);
  std::vector<uint32_t> told(3);
  GetOptions options;
  options.on_layers = [&](size_t block, uint32_t layers) {
    EXPECT_GT(layers, told[block]);
    told[block] = layers;
    EXPECT_EQ(std::memcmp(memory.blocks[block].destination.data(), expected[block].raw.get(),
                          layers * layer_bytes),
              0);
  };
  ASSERT_TRUE(client_->Get(space, memory.blocks, options).ok());
  EXPECT_EQ(told, std::vector<uint32_t>(3, kLayers));
}

TEST_P(PlaneConformance, ManyCallsEndOnceAndDoNotMix) {
  constexpr uint32_t kChains = 12, kLength = 4;
  const Space space = SpaceOf(*client_, 2345);
  for (uint32_t chain = 0; chain < kChains; chain += 2) Put(*client_, space, chain, kLength);
  std::vector<std::atomic<int>> ends(kChains);
  std::vector<std::promise<void>> ended(kChains);
  std::vector<Memory> memory;
  std::vector<std::vector<PutBlock>> puts(kChains);
  for (uint32_t chain = 0; chain < kChains; ++chain) memory.emplace_back(space, chain, kLength);
  for (uint32_t chain = 0; chain < kChains; ++chain) {
    const auto end = [&ends, &ended, chain] {
      if (++ends[chain] == 1) ended[chain].set_value();
    };
    if (chain % 2 == 0) {
      client_->GetAsync(space, memory[chain].blocks, {}, [&, chain, end](auto results) {
        EXPECT_TRUE(results.ok()) << results.status();
        EXPECT_EQ(results.ok() ? memory[chain].Check(*results) : 0, kLength);
        end();
      });
    } else {
      puts[chain] = KnownChain(space, chain, kLength);
      client_->PutAsync(space, puts[chain], {}, [end](auto results) {
        EXPECT_TRUE(results.ok()) << results.status();
        end();
      });
    }
  }
  for (auto& each : ended) {
    ASSERT_EQ(each.get_future().wait_for(kAnswerWithin), std::future_status::ready);
  }
  for (uint32_t chain = 0; chain < kChains; ++chain) {
    EXPECT_EQ(Get(*client_, space, chain, kLength), kLength);
  }
  for (const auto& count : ends) EXPECT_EQ(count, 1);
}

TEST_P(PlaneConformance, APassedDeadlineEndsTheCall) {
  const Space space = SpaceOf(*client_, 16'384);
  Put(*client_, space, 1, 16);
  for (int timeout_ms = 1; timeout_ms <= 8; ++timeout_ms) {
    const Memory memory(space, 1, 16);
    GetOptions options;
    options.timeout = Milliseconds(timeout_ms);
    const auto begin = std::chrono::steady_clock::now();
    const auto results = client_->Get(space, memory.blocks, options);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    if (results.ok()) memory.Check(*results);
  }
  EXPECT_EQ(Get(*client_, space, 1, 16), 16u);
}

TEST_P(PlaneConformance, AServerThatEndsEndsAllCalls) {
  const Space space = SpaceOf(*client_, 16'384);
  Put(*client_, space, 1, 8);
  constexpr int kCalls = 12;
  std::vector<Memory> memory;
  std::vector<std::promise<void>> ended(kCalls);
  for (int i = 0; i < kCalls; ++i) memory.emplace_back(space, 1, 8);
  GetOptions options;
  options.timeout = 1s;
  for (int i = 0; i < kCalls; ++i) {
    client_->GetAsync(space, memory[i].blocks, options, [&, i](auto results) {
      if (results.ok()) memory[i].Check(*results);
      ended[i].set_value();  // throws when it is the second time
    });
  }
  server_.reset();
  for (auto& each : ended) {
    ASSERT_EQ(each.get_future().wait_for(kAnswerWithin), std::future_status::ready);
  }
}

TEST_P(PlaneConformance, AClientThatEndsEndsItsCallsAndHarmsNoOther) {
  const auto other = Connect(GetParam().choice);
  const Space space = SpaceOf(*client_, 16'384);
  const Space others_space = SpaceOf(*other, 16'384);
  Put(*client_, space, 1, 8);
  constexpr int kCalls = 12;
  std::vector<Memory> memory;
  std::vector<std::promise<void>> ended(kCalls);
  for (int i = 0; i < kCalls; ++i) memory.emplace_back(space, 1, 8);
  for (int i = 0; i < kCalls; ++i) {
    client_->GetAsync(space, memory[i].blocks, {}, [&, i](auto results) {
      if (results.ok()) memory[i].Check(*results);
      ended[i].set_value();
    });
  }
  client_.reset();
  EXPECT_EQ(Get(*other, others_space, 1, 8), 8u);
  for (auto& each : ended) {
    ASSERT_EQ(each.get_future().wait_for(kAnswerWithin), std::future_status::ready);
  }
}

}  // namespace
}  // namespace larder
