// Gets into device memory and puts from it, over every plane of a whole server: with a fake device, whose memory no CPU may touch, and
// with CUDA where there is a device. What stands there is, byte for byte, what a get into host memory brings.
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
namespace {

using namespace std::chrono_literals;
using testing::KnownChain;
using testing::KnownHash;

constexpr uint64_t kDeviceBytes = uint64_t{512} << 20;
constexpr uint64_t kWindowBytes = uint64_t{32} << 20;
constexpr uint64_t kGuardBytes = 256;
constexpr std::byte kGuard{0xA5};
constexpr auto kPatience = 30s;

struct Case {
  std::string name;
  PlaneChoice plane;
  bool cuda;
};

Manifest AttentionManifest(AxisOrder order, uint32_t tokens) {
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

const Case kFakes[] = {{"FakeInline", PlaneChoice::kInline, false},
                       {"FakeShm", PlaneChoice::kShm, false},
                       {"FakeUcx", PlaneChoice::kUcx, false}};
const Case kCuda[] = {{"CudaInline", PlaneChoice::kInline, true},
                      {"CudaShm", PlaneChoice::kShm, true},
                      {"CudaUcx", PlaneChoice::kUcx, true}};
std::string NameOf(const ::testing::TestParamInfo<Case>& test) { return test.param.name; }

INSTANTIATE_TEST_SUITE_P(Fakes, DeviceBlocks, ::testing::ValuesIn(kFakes), NameOf);
INSTANTIATE_TEST_SUITE_P(Devices, DeviceBlocks, ::testing::ValuesIn(kCuda), NameOf);

// What the fake's switches are for.
class FakeDeviceBlocks : public DeviceBlocks {};
INSTANTIATE_TEST_SUITE_P(Fakes, FakeDeviceBlocks, ::testing::ValuesIn(kFakes), NameOf);

TEST_P(DeviceBlocks, RawBlocksComeAndGo) {
  // Also of lengths that leave gaps between streams.
  for (const uint32_t row_bytes : {1u, 521u, 2048u, 65'544u}) {
    const Space space = OpaqueSpace(row_bytes);
    PutAll(space, DeviceChain(space, row_bytes, 3), "");
    ExpectSame(space, row_bytes, 3, std::to_string(row_bytes));
    const uint64_t bytes = testing::RawBytesOf(space);
    const Memory memory(*this, bytes);
    const GetBlock wanted{KnownHash(row_bytes, 1), memory.span()};
    ASSERT_TRUE(client_->Get(space, {&wanted, 1}).ok());
    EXPECT_TRUE(testing::IsKnown(wanted.hash, memory.Read()));
  }
}

TEST_P(DeviceBlocks, EveryPresetIsExpandedThere) {
  uint32_t chain = 1;
  for (const AxisOrder order : {AxisOrder::kNhd, AxisOrder::kHnd}) {
    const Space space = AttentionSpace(order, 64);
    for (const PresetRow& row : Presets()) {
      PutAll(space, GaussianChain(space, chain, 3), std::string(row.name));
      ExpectSame(space, chain++, 3, std::string(row.name));
    }
  }
  if (fake_ != nullptr) {
    EXPECT_GT(fake_->decodings(), 0);
  }
}

TEST_P(FakeDeviceBlocks, WhatTheDeviceCanNotExpandIsExpandedHere) {
  fake_->fits() = 0;
  const Space space = AttentionSpace(AxisOrder::kNhd, 64);
  PutAll(space, GaussianChain(space, 1, 3), "fp8");
  ExpectSame(space, 1, 3, "fp8");
  EXPECT_EQ(fake_->decodings(), 0);
}

// An engine's cache: pages of `kPageTokens` tokens, [layer][K or V][page][token][head][row].
class Pages {
 public:
  static constexpr uint32_t kPageTokens = 16;
  static constexpr uint32_t kPages = 16;

  Pages(const KvShape& shape, std::byte* memory, const int32_t* table) : shape_(shape) {
    const int64_t row = int64_t{shape.head_dim_k} * 2;
    const int64_t page = kPageTokens * shape.kv_heads * row;
    for (size_t kind = 0; kind < 2; ++kind) {
      RunRows& rows = rows_[kind];
      rows.base = reinterpret_cast<uint8_t*>(memory) + static_cast<int64_t>(kind) * kPages * page;
      rows.stream_stride = 2 * kPages * page;
      rows.head_stride = row;
      rows.token_stride = row * shape.kv_heads;
      rows.pages = table;
      rows.pages_per_block = shape.tokens / kPageTokens;
      rows.page_tokens = kPageTokens;
      rows.page_stride = page;
    }
  }
  static uint64_t BytesOf(const KvShape& shape) {
    return uint64_t{shape.layers} * 2 * kPages * kPageTokens * shape.kv_heads * shape.head_dim_k *
           2;
  }
  const BlockRows& rows() const { return rows_; }
  // The same rows in a copy of the cache and of the table, as a raw block.
  std::vector<std::byte> Block(std::span<std::byte> cache, const int32_t* table) const {
    std::vector<std::byte> raw(RawBytes(shape_).value());
    BlockRows here = rows_;
    for (RunRows& rows : here) {
      rows.base = reinterpret_cast<uint8_t*>(cache.data()) + (rows.base - rows_[0].base);
      rows.pages = table;
    }
    HostMachine machine;
    for (const RowCopy& copy :
         RowCopiesOf(shape_, here, RawRowsAt(shape_, reinterpret_cast<uint8_t*>(raw.data())))) {
      EXPECT_TRUE(machine.Copy(copy));
    }
    return raw;
  }

 private:
  const KvShape shape_;
  BlockRows rows_;
};

TEST_P(DeviceBlocks, RowsComeFromPagesAndGoToOthers) {
  for (const AxisOrder order : {AxisOrder::kNhd, AxisOrder::kHnd}) {
    const Space space = AttentionSpace(order, 64);
    const Memory cache(*this, Pages::BytesOf(space.shape)), tables(*this, 64);
    const std::array<int32_t, 8> pages = {5, 2, 15, 0,
                                          1, 9, 8,  14};  // from the first four to the others
    tables.Fill(std::as_bytes(std::span(pages)));
    const auto* const table = reinterpret_cast<const int32_t*>(tables.get());
    const Pages from(space.shape, cache.get(), table), to(space.shape, cache.get(), table + 4);
    uint32_t chain = 100;
    for (const char* codec : {"raw", "fp8", "lossless", "balanced", "compact"}) {
      std::vector<std::byte> before(Pages::BytesOf(space.shape));
      testing::FillKnown(KnownHash(++chain, 0), before);
      for (size_t at = 1; at < before.size(); at += 2)
        before[at] &= std::byte{0xBF};  // no infinities
      cache.Fill(before);

      PutBlock block;
      block.hash = KnownHash(chain, 0);
      block.rows = from.rows();
      PutAll(space, {&block, 1}, codec);
      std::vector<std::byte> host(testing::RawBytesOf(space));
      const GetBlock here{block.hash, host};
      const auto got_here = client_->Get(space, {&here, 1});
      ASSERT_TRUE(got_here.ok() && got_here->front().hit) << codec;
      if (std::string_view(codec) == "raw") {
        EXPECT_TRUE(host == from.Block(before, pages.data()));
      }

      const GetBlock there{.hash = block.hash, .rows = to.rows()};
      const auto got = client_->Get(space, {&there, 1});
      ASSERT_TRUE(got.ok() && got->front().hit) << codec << got.status();
      std::vector<std::byte> after = cache.Read();
      EXPECT_TRUE(to.Block(after, pages.data() + 4) == host) << codec;
      // All other pages are as they were.
      for (const int32_t page : {3, 4, 6, 7, 10, 11, 12, 13}) {
        const std::array<int32_t, 4> one = {page, page, page, page};
        EXPECT_TRUE(to.Block(after, one.data()) == to.Block(before, one.data())) << page;
      }
      EXPECT_TRUE(from.Block(after, pages.data()) == from.Block(before, pages.data()));
    }
  }
}

TEST_P(DeviceBlocks, AShortBlockNeedsNoMoreThanItsRows) {
  const Space space = AttentionSpace(AxisOrder::kNhd, 64);
  const Memory cache(*this, Pages::BytesOf(space.shape)), tables(*this, 64);
  const std::array<int32_t, 4> pages = {7, 1, 2, 3};
  tables.Fill(std::as_bytes(std::span(pages)));
  Pages at(space.shape, cache.get(), reinterpret_cast<const int32_t*>(tables.get()));
  std::vector<std::byte> before(Pages::BytesOf(space.shape));
  testing::FillKnown(KnownHash(9, 0), before);
  for (size_t i = 1; i < before.size(); i += 2) before[i] &= std::byte{0xBF};  // no infinities
  cache.Fill(before);
  PutBlock put;
  put.hash = KnownHash(9, 0);
  put.tokens = Pages::kPageTokens;
  put.rows = at.rows();
  for (RunRows& rows : *put.rows) rows.pages_per_block = 1;
  PutAll(space, {&put, 1}, "fp8");
  const Memory back(*this, testing::RawBytesOf(space));
  std::vector<std::byte> host(testing::RawBytesOf(space));
  const GetBlock to_device{put.hash, back.span()}, to_host{put.hash, host};
  const auto there = client_->Get(space, {&to_device, 1});
  const auto here = client_->Get(space, {&to_host, 1});
  ASSERT_TRUE(there.ok() && there->front().hit && here.ok() && here->front().hit);
  ASSERT_EQ(there->front().tokens, Pages::kPageTokens);
  const uint64_t bytes = there->front().raw_bytes;
  EXPECT_EQ(bytes, testing::RawBytesOf(space) / 4);
  const std::vector<std::byte> device = back.Read();
  EXPECT_TRUE(
      std::equal(device.begin(), device.begin() + static_cast<ptrdiff_t>(bytes), host.begin()));
}

// More blocks than may be on their way to a device at a time.
TEST_P(DeviceBlocks, ManyBlocksTakeTurns) {
  const Space space = AttentionSpace(AxisOrder::kNhd, 16);
  constexpr uint32_t kBlocks = 3 * DeviceGet::kUnderWayBlocksMax + 5;
  PutAll(space, GaussianChain(space, 3, kBlocks), "fp8");
  ExpectSame(space, 3, kBlocks, "many");
}

TEST_P(DeviceBlocks, RowsThatCanNotBeAreRefused) {
  const Space space = AttentionSpace(AxisOrder::kNhd, 64);
  const Memory memory(*this, testing::RawBytesOf(space));
  const auto refused = [&](const Space& of, const BlockRows& rows) {
    const GetBlock get{.hash = KnownHash(1, 0), .rows = rows};
    PutBlock put;
    put.hash = get.hash;
    put.rows = rows;
    const absl::Status got = client_->Get(of, {&get, 1}).status();
    EXPECT_NE(std::string(got.message()).find("blocks[0].rows"), std::string::npos) << got;
    return got.code() == absl::StatusCode::kInvalidArgument &&
           client_->Put(of, {&put, 1}).status().code() == absl::StatusCode::kInvalidArgument;
  };
  const BlockRows good = RawRowsAt(space.shape, reinterpret_cast<uint8_t*>(memory.get()));
  BlockRows odd = good;
  odd[1].token_stride += 8;
  EXPECT_TRUE(refused(space, odd));
  std::vector<std::byte> host(testing::RawBytesOf(space));
  EXPECT_TRUE(refused(space, RawRowsAt(space.shape, reinterpret_cast<uint8_t*>(host.data()))));
  BlockRows foreign_table = good;
  const std::array<int32_t, 4> table = {0, 1, 2, 3};
  foreign_table[0].pages = table.data();
  foreign_table[0].pages_per_block = 4;
  foreign_table[0].page_tokens = 16;
  foreign_table[0].page_stride = 1 << 20;
  EXPECT_TRUE(refused(space, foreign_table));
  BlockRows at_one_place = good;
  for (RunRows& each : at_one_place) each.head_stride = each.token_stride = 0;
  EXPECT_TRUE(refused(space, at_one_place));
  const Memory tables(*this, 64);
  BlockRows short_table = good;
  for (RunRows& each : short_table) {
    each.pages = reinterpret_cast<const int32_t*>(tables.get());
    each.pages_per_block = 3;
    each.page_tokens = 16;
    each.page_stride = 1 << 20;
  }
  EXPECT_TRUE(refused(space, short_table));
  EXPECT_TRUE(refused(OpaqueSpace(64), good));
  const GetBlock both{.hash = KnownHash(1, 0), .destination = host, .rows = good};
  EXPECT_EQ(client_->Get(space, {&both, 1}).status().code(), absl::StatusCode::kInvalidArgument);
  PutBlock put = KnownChain(space, 1, 1).front();
  put.rows = good;
  EXPECT_EQ(client_->Put(space, {&put, 1}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(DeviceBlocks, OneCallMayHaveAllKindsOfDestinations) {
  const Space space = OpaqueSpace(16'384);
  PutAll(space, KnownChain(space, 1, 6), "");
  const uint64_t bytes = testing::RawBytesOf(space);
  const Memory first(*this, bytes), last(*this, bytes);
  std::vector<std::byte> host(bytes);
  std::vector<int> told(5);
  GetOptions options;
  options.on_layers = [&](size_t block, uint32_t layers) {
    if (block == 0 || block == 4) {
      EXPECT_EQ(layers, 4u);
      ++told[block];
    }
  };
  const std::vector<GetBlock> wanted = {{KnownHash(1, 0), first.span()},
                                        {KnownHash(1, 1), host},
                                        {KnownHash(1, 2), {}},
                                        {KnownHash(7, 7), first.span()},
                                        {KnownHash(1, 5), last.span()}};
  const auto results = client_->Get(space, wanted, options);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_TRUE(testing::IsKnown(KnownHash(1, 0), first.Read()));
  EXPECT_TRUE(testing::IsKnown(KnownHash(1, 1), host));
  EXPECT_TRUE(testing::IsKnown(KnownHash(1, 2), (*results)[2].view));
  EXPECT_FALSE((*results)[3].hit);
  EXPECT_EQ((*results)[3].miss_reason, MissReason::kNeverSeen);
  EXPECT_TRUE(testing::IsKnown(KnownHash(1, 5), last.Read()));
  EXPECT_EQ(told, (std::vector<int>{1, 0, 0, 0, 1}));
}

TEST_P(DeviceBlocks, PrefixesAndAsynchronousCallsEndThere) {
  const Space space = OpaqueSpace(16'384);
  const uint64_t bytes = testing::RawBytesOf(space);
  std::promise<absl::StatusOr<std::vector<PutResult>>> put;
  client_->PutAsync(space, DeviceChain(space, 1, 2), {},
                    [&](auto result) { put.set_value(std::move(result)); });
  const auto stored = put.get_future().get();
  ASSERT_TRUE(stored.ok() && stored->back().outcome == PutOutcome::kStored) << stored.status();

  const Memory first(*this, bytes), second(*this, bytes), third(*this, bytes);
  const std::vector<GetBlock> wanted = {{KnownHash(1, 0), first.span()},
                                        {KnownHash(1, 1), second.span()},
                                        {KnownHash(1, 2), third.span()}};
  const auto prefix = client_->GetPrefix(space, wanted);
  ASSERT_TRUE(prefix.ok()) << prefix.status();
  ASSERT_EQ(prefix->blocks.size(), 2u);
  EXPECT_TRUE(testing::IsKnown(KnownHash(1, 1), second.Read()));

  const Memory again(*this, bytes);
  const GetBlock one{KnownHash(1, 0), again.span()};
  std::promise<absl::StatusOr<std::vector<GetResult>>> got;
  client_->GetAsync(space, {&one, 1}, {}, [&](auto result) { got.set_value(std::move(result)); });
  const auto result = got.get_future().get();
  ASSERT_TRUE(result.ok() && result->front().hit) << result.status();
  EXPECT_TRUE(testing::IsKnown(KnownHash(1, 0), again.Read()));
}

// More calls than a device keeps lanes for, each of more blocks than the window holds, with sizes that vary.
TEST_P(DeviceBlocks, LongEncodedChainsComeWhole) {
  const Space space = AttentionSpace(AxisOrder::kNhd, 512);
  constexpr uint32_t kBlocks = 24;  // of 3 MiB
  PutAll(space, GaussianChain(space, 1, kBlocks), "lossless");
  for (int round = 0; round < 3; ++round) ExpectSame(space, 1, kBlocks, "round");
}

TEST_P(DeviceBlocks, ACallLargerThanTheWindowStaysOnIt) {
  const Space space = OpaqueSpace(65'536);  // 4 MiB a block
  constexpr uint32_t kBlocks = 20;
  PutAll(space, KnownChain(space, 1, kBlocks), "");
  const uint64_t inline_calls = client_->plane().inline_calls;
  std::vector<std::unique_ptr<Memory>> device;
  std::vector<GetBlock> wanted;
  for (uint32_t i = 0; i < kBlocks; ++i) {
    device.push_back(std::make_unique<Memory>(*this, testing::RawBytesOf(space)));
    wanted.push_back({KnownHash(1, i), device[i]->span()});
  }
  const auto results = client_->Get(space, wanted);
  ASSERT_TRUE(results.ok()) << results.status();
  for (uint32_t i = 0; i < kBlocks; ++i) {
    EXPECT_TRUE((*results)[i].hit);
    EXPECT_TRUE(testing::IsKnown(KnownHash(1, i), device[i]->Read())) << i;
  }
  if (GetParam().plane == PlaneChoice::kInline) return;
  EXPECT_EQ(client_->plane().inline_calls, inline_calls);
  EXPECT_EQ(client_->plane().window_used_bytes, 0u);
}

TEST_P(FakeDeviceBlocks, FaultsOfADeviceAreTypedErrors) {
  const Space space = AttentionSpace(AxisOrder::kNhd, 64);
  const Memory memory(*this, testing::RawBytesOf(space));
  std::vector<PutBlock> blocks = GaussianChain(space, 1, 1);
  PutAll(space, blocks, "lossless");
  const GetBlock wanted{KnownHash(1, 0), memory.span()};
  blocks[0].raw = memory.shared();

  fake_->fails() = true;
  EXPECT_EQ(client_->Get(space, {&wanted, 1}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client_->Put(space, blocks).status().code(), absl::StatusCode::kUnavailable);
  fake_->fails() = false;

  fake_->refuses_streams() = true;
  const auto refused = client_->Get(space, {&wanted, 1});
  ASSERT_TRUE(refused.ok());
  EXPECT_FALSE(refused->front().hit);
  EXPECT_EQ(refused->front().miss_reason, MissReason::kCorrupt);
  fake_->refuses_streams() = false;

  // It stands still: calls end, and what it may still read stays as it is until it has ended.
  fake_->holds() = true;
  GetOptions options;
  options.timeout = Milliseconds(1'500);
  const auto late = client_->Get(space, {&wanted, 1}, options);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnavailable) << late.status();
  if (GetParam().plane != PlaneChoice::kInline) {
    EXPECT_GT(client_->plane().window_used_bytes, 0u);
  }
  EXPECT_EQ(fake_->works(), 1);
  fake_->holds() = false;
  for (int i = 0; i < 100 && fake_->works() > 0; ++i) {  // the next calls let go of what has ended
    const auto now = client_->Get(space, {&wanted, 1});
    ASSERT_TRUE(now.ok()) << now.status();
    ASSERT_TRUE(now->front().hit);
  }
  EXPECT_EQ(fake_->works(), 0);
  EXPECT_EQ(client_->plane().window_used_bytes, 0u);
  ExpectSame(space, 1, 1, "after all");
}

// A block that the device can not take is its own misfortune; what it was given before is waited for.
TEST_P(FakeDeviceBlocks, RowsThatDoNotFitAreAMiss) {
  const Space space = AttentionSpace(AxisOrder::kNhd, 64);
  PutAll(space, GaussianChain(space, 1, 2), "fp8");
  const uint64_t bytes = testing::RawBytesOf(space);
  const Memory first(*this, bytes), second(*this, bytes);
  const auto rows = [&](const Memory& of) {
    return RawRowsAt(space.shape, reinterpret_cast<uint8_t*>(of.get()));
  };
  std::vector<std::byte> right(bytes);
  const std::vector<GetBlock> wanted = {{.hash = KnownHash(1, 0), .rows = rows(first)},
                                        {.hash = KnownHash(1, 1), .rows = rows(second)}};
  fake_->fits() = 1;
  const auto got = client_->Get(space, wanted);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE((*got)[0].hit);
  EXPECT_EQ((*got)[1].miss_reason, MissReason::kBusy);
  EXPECT_EQ(fake_->dropped(), 0);
  const GetBlock here{KnownHash(1, 0), right};
  ASSERT_TRUE(client_->Get(space, {&here, 1}).ok());
  EXPECT_TRUE(first.Read() == right);
}

TEST_P(FakeDeviceBlocks, MemoryThatNobodyKnowsIsRefused) {
  const Space space = AttentionSpace(AxisOrder::kNhd, 64);
  std::vector<PutBlock> blocks = GaussianChain(space, 1, 1);
  const Memory memory(*this, testing::RawBytesOf(space));
  blocks[0].raw = memory.shared();
  fake_->forgets() = true;
  const GetBlock wanted{KnownHash(1, 0), memory.span()};
  EXPECT_EQ(client_->Get(space, {&wanted, 1}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client_->Put(space, blocks).status().code(), absl::StatusCode::kInvalidArgument);
}

// Its calls wait on threads of their own, and end with their client.
TEST_P(FakeDeviceBlocks, ADeviceThatStandsStillStopsNobodyElse) {
  const Space space = OpaqueSpace(4096);
  PutAll(space, KnownChain(space, 1, 1), "");
  const Memory memory(*this, testing::RawBytesOf(space));
  fake_->holds() = true;
  constexpr int kCalls = 24;  // more than gRPC has threads
  std::atomic<int> ended{0};
  GetOptions slow;
  slow.timeout = Milliseconds(600'000);
  const GetBlock wanted{KnownHash(1, 0), memory.span()};
  for (int i = 0; i < kCalls; ++i) {
    client_->GetAsync(space, {&wanted, 1}, slow, [&](const auto& result) {
      EXPECT_FALSE(result.ok());
      ++ended;
    });
  }
  std::vector<std::byte> host(testing::RawBytesOf(space));
  const GetBlock here{KnownHash(1, 0), host};
  for (int i = 0; i < 10; ++i) {
    std::promise<bool> got;
    client_->GetAsync(space, {&here, 1}, {}, [&](const auto& result) {
      got.set_value(result.ok() && result->front().hit);
    });
    EXPECT_TRUE(got.get_future().get());
    EXPECT_TRUE(client_->Get(space, {&here, 1}).ok());
  }
  EXPECT_EQ(ended, 0);
  client_.reset();  // would take ten minutes
  EXPECT_EQ(ended, kCalls);
  // What the device may still read is there, and pinned.
  EXPECT_EQ(fake_->dropped(), 0);
  if (GetParam().plane != PlaneChoice::kInline) {
    EXPECT_GT(fake_->pinned_bytes(), 0u);
  }
  fake_->holds() = false;
}

TEST_P(FakeDeviceBlocks, TheWindowIsPinnedWhileItLives) {
  EXPECT_EQ(fake_->pinned_bytes(), client_->plane().window_bytes);
  client_.reset();
  EXPECT_EQ(fake_->pinned_bytes(), 0u);
}

}  // namespace
}  // namespace larder
