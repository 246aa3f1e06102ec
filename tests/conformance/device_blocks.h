// A whole server, and a client of one of its planes with a device: what tests of device memory stand on.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <future>
#include <random>
#include <string>

#include "client/client.h"
#include "client/cuda_device_memory.h"
#include "client/device_get.h"
#include "kernels/codec/number_formats.h"
#include "kernels/codec/registry.h"
#include "proto/contract/convert.h"
#include "server/server.h"
#include "tests/fakes/fake_device_memory.h"
#include "tests/integration/known_blocks.h"

namespace larder {

using namespace std::chrono_literals;
using testing::KnownChain;
using testing::KnownHash;

inline constexpr uint64_t kDeviceBytes = uint64_t{512} << 20;
inline constexpr uint64_t kWindowBytes = uint64_t{32} << 20;
inline constexpr uint64_t kGuardBytes = 256;
inline constexpr std::byte kGuard{0xA5};
inline constexpr auto kPatience = 30s;

struct Case {
  std::string name;
  PlaneChoice plane;
  bool cuda;
};

inline Manifest AttentionManifest(AxisOrder order, uint32_t tokens) {
  Manifest manifest;
  manifest.model = "device-blocks";
  manifest.weights_digest = "w";
  manifest.dtype = Dtype::kBf16;
  manifest.axis_order = order;
  manifest.block_tokens = tokens;
  manifest.rope = {.pairing = RopePairing::kHalf, .theta = 500'000, .rotary_dim = 128};
  manifest.hash_scheme.name = "test";
  manifest.groups.push_back({.name = "full",
                             .kind = GroupKind::kAttention,
                             .layers = 6,
                             .kv_heads = 2,
                             .head_dim_k = 128,
                             .head_dim_v = 128});
  return manifest;
}

class DeviceBlocks : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (GetParam().cuda) {
      auto cuda = OpenCudaDevice(0);
      if (!cuda.ok()) GTEST_SKIP() << cuda.status();
      device_ = *std::move(cuda);
    } else {
      fake_ = std::make_shared<FakeDeviceMemory>(kDeviceBytes);
      device_ = fake_;
    }
    server::Config config;
    config.listen = config.metrics_listen = "127.0.0.1:0";
    config.dram_bytes = uint64_t{256} << 20;
    config.codec = "raw";
    config.codec_fidelity_min = Fidelity::kCompact;
    config.ucx_listen = "127.0.0.1:0";
    server_ = server::Server::Start(config).value();
    client_ = Connect();
  }

  std::unique_ptr<Client> Connect() const {
    return Client::Connect({.plane = GetParam().plane,
                            .window = {.bytes = kWindowBytes},
                            .device = device_,
                            .address = server_->listen()})
        .value();
  }

  // Copies by themselves, as an engine has its own.
  void Copy(bool in, std::byte* on_device, std::span<std::byte> host) const {
    if (fake_ != nullptr) {
      std::byte* const behind = fake_->Behind(on_device);
      in ? std::memcpy(behind, host.data(), host.size())
         : std::memcpy(host.data(), behind, host.size());
      return;
    }
    const auto work = device_->Begin();
    ASSERT_NE(work, nullptr);
    ASSERT_TRUE(in ? work->CopyIn(on_device, host) : work->CopyOut(host, on_device));
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    DeviceWork::State state;
    while ((state = work->Poll()) == DeviceWork::State::kRuns) {
      if (std::chrono::steady_clock::now() > give_up) std::abort();  // the host's memory is in use
    }
    ASSERT_EQ(state, DeviceWork::State::kDone);
  }

  // Memory on the device for one block, a guard before and behind.
  class Memory {
   public:
    Memory(const DeviceBlocks& test, uint64_t bytes)
        : test_(test), bytes_(bytes), memory_(test.device_->Allocate(bytes + 2 * kGuardBytes)) {
      std::vector<std::byte> guard(bytes + 2 * kGuardBytes, kGuard);
      test_.Copy(/*in=*/true, memory_.get(), guard);
    }
    std::byte* get() const { return memory_.get() + kGuardBytes; }
    std::span<std::byte> span() const { return {get(), bytes_}; }
    std::shared_ptr<const std::byte> shared() const { return {memory_, get()}; }
    void Fill(std::span<const std::byte> bytes) const {
      std::vector<std::byte> copy(bytes.begin(), bytes.end());
      test_.Copy(/*in=*/true, get(), copy);
    }
    std::vector<std::byte> Read() const {
      std::vector<std::byte> all(bytes_ + 2 * kGuardBytes);
      test_.Copy(/*in=*/false, memory_.get(), all);
      const std::vector<std::byte> guard(kGuardBytes, kGuard);
      EXPECT_EQ(std::memcmp(all.data(), guard.data(), kGuardBytes), 0);
      EXPECT_EQ(std::memcmp(all.data() + kGuardBytes + bytes_, guard.data(), kGuardBytes), 0);
      return {all.begin() + kGuardBytes, all.end() - kGuardBytes};
    }

   private:
    const DeviceBlocks& test_;
    const uint64_t bytes_;
    const std::shared_ptr<std::byte> memory_;
  };

  Space OpaqueSpace(uint32_t row_bytes) const {
    return client_->Register(testing::KnownManifest("opaque", 4, row_bytes), "default")->front();
  }
  Space AttentionSpace(AxisOrder order, uint32_t tokens) const {
    return client_->Register(ManifestToWire(AttentionManifest(order, tokens)), "default")->front();
  }
  // Blocks of `space` from device memory, number from `first` on.
  std::vector<PutBlock> DeviceChain(const Space& space, uint32_t chain, uint32_t length) {
    std::vector<PutBlock> blocks = KnownChain(space, chain, length);
    for (PutBlock& block : blocks) {
      const Memory memory(*this, block.raw_bytes);
      memory.Fill({block.raw.get(), block.raw_bytes});
      block.raw = memory.shared();
    }
    return blocks;
  }
  void PutAll(const Space& space, std::span<const PutBlock> blocks,
              const std::string& codec) const {
    PutOptions options;
    options.codec = codec;
    const auto results = client_->Put(space, blocks, options);
    ASSERT_TRUE(results.ok()) << results.status();
    for (const PutResult& each : *results) {
      ASSERT_EQ(each.outcome, PutOutcome::kStored) << codec << ": " << each.message;
    }
  }
  // Normally distributed, so that every codec has something to code.
  static std::vector<PutBlock> GaussianChain(const Space& space, uint32_t chain, uint32_t length) {
    std::vector<PutBlock> blocks = KnownChain(space, chain, length);
    std::mt19937_64 random(chain);
    std::normal_distribution<float> normal;
    for (PutBlock& block : blocks) {
      block.token_begin = uint64_t{space.shape.tokens} * (&block - blocks.data());
      auto* const raw = const_cast<std::byte*>(block.raw.get());
      for (uint64_t at = 0; at < block.raw_bytes; at += 2) {
        const uint16_t element = Bf16OfFloat(normal(random));
        std::memcpy(raw + at, &element, 2);
      }
    }
    return blocks;
  }
  // Fetches the chain to host and to device memory: equal.
  void ExpectSame(const Space& space, uint32_t chain, uint32_t length, const std::string& what) {
    const uint64_t bytes = testing::RawBytesOf(space);
    std::vector<std::vector<std::byte>> host(length, std::vector<std::byte>(bytes));
    std::vector<std::unique_ptr<Memory>> device;
    std::vector<GetBlock> to_host, to_device;
    for (uint32_t i = 0; i < length; ++i) {
      device.push_back(std::make_unique<Memory>(*this, bytes));
      to_host.push_back({KnownHash(chain, i), host[i]});
      to_device.push_back({KnownHash(chain, i), device[i]->span()});
    }
    const auto here = client_->Get(space, to_host);
    const auto there = client_->Get(space, to_device);
    ASSERT_TRUE(here.ok() && there.ok()) << what << there.status();
    for (uint32_t i = 0; i < length; ++i) {
      ASSERT_TRUE((*here)[i].hit && (*there)[i].hit) << what << " block " << i;
      EXPECT_EQ((*there)[i].raw_bytes, (*here)[i].raw_bytes);
      EXPECT_EQ((*there)[i].frame_bytes, (*here)[i].frame_bytes);
      EXPECT_TRUE((*there)[i].view.empty() && (*there)[i].owner == nullptr);
      EXPECT_TRUE(device[i]->Read() == host[i]) << what << " block " << i;
    }
  }

  std::shared_ptr<FakeDeviceMemory> fake_;
  std::shared_ptr<DeviceMemory> device_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<Client> client_;
};

inline const Case kFakes[] = {{"FakeInline", PlaneChoice::kInline, false},
                              {"FakeShm", PlaneChoice::kShm, false},
                              {"FakeUcx", PlaneChoice::kUcx, false}};
inline const Case kCuda[] = {{"CudaInline", PlaneChoice::kInline, true},
                             {"CudaShm", PlaneChoice::kShm, true},
                             {"CudaUcx", PlaneChoice::kUcx, true}};
inline std::string NameOf(const ::testing::TestParamInfo<Case>& test) { return test.param.name; }

}  // namespace larder
