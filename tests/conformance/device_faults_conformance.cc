// What a client does with a device that fails, stands still, has no room, or does not know its memory.
#include <atomic>
#include <future>

#include "tests/conformance/device_blocks.h"

namespace larder {
namespace {

// What the fake's switches are for.
class FakeDeviceBlocks : public DeviceBlocks {};
INSTANTIATE_TEST_SUITE_P(Fakes, FakeDeviceBlocks, ::testing::ValuesIn(kFakes), NameOf);

TEST_P(FakeDeviceBlocks, WhatTheDeviceCanNotExpandIsExpandedHere) {
  fake_->fits() = 0;
  const Space space = AttentionSpace(AxisOrder::kNhd, 64);
  PutAll(space, GaussianChain(space, 1, 3), "fp8");
  ExpectSame(space, 1, 3, "fp8");
  EXPECT_EQ(fake_->decodings(), 0);
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
