// Gets into device memory and puts from it, over every plane of a whole server: with a fake device, whose memory no CPU may touch, and
// with CUDA where there is a device. What stands there is, byte for byte, what a get into host memory brings.
#include <array>
#include <cstring>
#include <future>

#include "client/device_get.h"
#include "tests/conformance/device_blocks.h"

namespace larder {
namespace {

INSTANTIATE_TEST_SUITE_P(Fakes, DeviceBlocks, ::testing::ValuesIn(kFakes), NameOf);
INSTANTIATE_TEST_SUITE_P(Devices, DeviceBlocks, ::testing::ValuesIn(kCuda), NameOf);

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

// A block that the device can not take is its own misfortune; what it was given before is waited for.
// Its calls wait on threads of their own, and end with their client.

}  // namespace
}  // namespace larder
