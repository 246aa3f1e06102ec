#include "server/store/window_ingest.h"

#include <malloc.h>

#include <cstring>
#include <future>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/fakes/fake_window.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

struct Ended {
  absl::Status status;
  std::vector<IngestResult> results;
};

class WindowIngestTest : public StoreFixture {
 protected:
  WindowIngestTest() : StoreFixture(RawConfig()) {}
  static Config RawConfig() {
    Config config;
    config.codec = "raw";
    return config;
  }
  static constexpr uint64_t kRangeBytes = 8192;

  // The frame's header for the call, its payload into range `range`.
  WindowIngest::Block Place(FakeWindow& window, uint64_t range, const Bytes& frame) {
    uint32_t header_bytes = 0;
    EXPECT_EQ(FrameView::HeaderBytes(frame, &header_bytes), FrameFault::kNone);
    WindowIngest::Block block;
    block.frame_header.assign(frame.begin(), frame.begin() + header_bytes);
    block.payload_offset = range * kRangeBytes;
    block.payload_bytes = frame.size() - header_bytes;
    std::memcpy(window.memory().data() + block.payload_offset, frame.data() + header_bytes,
                block.payload_bytes);
    return block;
  }
  // `count`: blocks in all, 0 for those of the request.
  std::shared_ptr<WindowIngest> Put(std::shared_ptr<Window> window, WindowIngest::Request request,
                                    size_t count = 0) {
    auto session = std::make_unique<IngestSession>(store.OpenIngest(
        *space, static_cast<uint32_t>(count == 0 ? request.blocks.size() : count)));
    auto ingest =
        WindowIngest::Create({pool, metrics}, std::move(window), std::move(session), request);
    ingest->Start([this](absl::Status status, std::vector<IngestResult> results) {
      done.set_value({std::move(status), std::move(results)});
    });
    return ingest;
  }
  Ended Wait() { return done.get_future().get(); }

  TransportPool pool{2};
  std::promise<Ended> done;
};

TEST_F(WindowIngestTest, StoresAChainFromTheWindow) {
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  WindowIngest::Request request;
  for (uint64_t i = 0; i < 3; ++i) {
    request.blocks.push_back(Place(*window, i, FrameOf(*space, i + 1, i, i + 1)));
  }
  const auto ingest = Put(window, request);
  const Ended ended = Wait();
  ASSERT_TRUE(ended.status.ok()) << ended.status;
  for (const IngestResult& result : ended.results) EXPECT_EQ(result.outcome, PutOutcome::kStored);
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(GetFrame(i + 1), FrameOf(*space, i + 1, i, i + 1));
}

TEST_F(WindowIngestTest, RefusesAWindowThatChangesAfterItWasRead) {
  const auto window =
      std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true, .step_bytes = 3000});
  const auto ingest = Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1)),
                                              Place(*window, 1, FrameOf(*space, 2, 0, 2))}});
  auto future = done.get_future();
  // The first block: its second step is read after the client spoiled it.
  while (window->waiting() == 0) std::this_thread::yield();
  window->End(0, TransferEnd::kDone);
  while (window->waiting() == 0) std::this_thread::yield();
  window->memory()[4000] ^= std::byte{1};
  window->End(0, TransferEnd::kDone);
  // The second: spoiled behind the step that was read; what was read is stored.
  while (window->waiting() == 0) std::this_thread::yield();
  window->End(0, TransferEnd::kDone);
  while (window->waiting() == 0) std::this_thread::yield();
  window->memory()[kRangeBytes] ^= std::byte{1};
  window->End(0, TransferEnd::kDone);
  const Ended ended = future.get();
  ASSERT_TRUE(ended.status.ok()) << ended.status;
  EXPECT_EQ(ended.results[0].outcome, PutOutcome::kCorrupt);
  EXPECT_EQ(ended.results[1].outcome, PutOutcome::kStored);
  EXPECT_EQ(GetFrame(2), FrameOf(*space, 2, 0, 2));
}

TEST_F(WindowIngestTest, LeavesOutTheBytesOfASettledBlock) {
  ASSERT_EQ(StoreFixture::Put(1), PutOutcome::kStored);
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  const auto ingest =
      Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1)),  // there already
                              Place(*window, 1, FrameOf(*space, 3, 9, 3)),  // no parent
                              Place(*window, 2, FrameOf(*space, 2, 1, 2))}});
  const Ended ended = Wait();
  ASSERT_TRUE(ended.status.ok()) << ended.status;
  EXPECT_EQ(ended.results[0].outcome, PutOutcome::kAlreadyPresent);
  EXPECT_EQ(ended.results[1].outcome, PutOutcome::kParentAbsent);
  EXPECT_EQ(ended.results[2].outcome, PutOutcome::kStored);
}

TEST_F(WindowIngestTest, RefusesASizeThatIsNotTheFrames) {
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  WindowIngest::Block shorter = Place(*window, 0, FrameOf(*space, 1, 0, 1));
  shorter.payload_bytes -= 64;
  WindowIngest::Block cut = Place(*window, 1, FrameOf(*space, 2, 0, 2));
  cut.frame_header.resize(100);
  WindowIngest::Block headless = Place(*window, 2, FrameOf(*space, 3, 0, 3));
  headless.frame_header.clear();
  const auto ingest = Put(window, {.blocks = {shorter, cut, headless}});
  const Ended ended = Wait();
  if (ended.status.ok()) {
    for (const IngestResult& result : ended.results) {
      EXPECT_NE(result.outcome, PutOutcome::kStored);
    }
  }
  EXPECT_EQ(Resident(1, 1) + Resident(2, 2) + Resident(3, 3), 0u);
}

TEST_F(WindowIngestTest, AFailedTransferLeavesNothing) {
  for (const TransferEnd end :
       {TransferEnd::kPeerGone, TransferEnd::kOverDeadline, TransferEnd::kFailed}) {
    done = {};
    const auto window = std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true});
    const auto ingest = Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1)),
                                                Place(*window, 1, FrameOf(*space, 2, 0, 2))}});
    while (window->waiting() == 0) std::this_thread::yield();
    window->End(0, end);
    const Ended ended = Wait();
    ASSERT_TRUE(ended.status.ok());
    ASSERT_EQ(ended.results.size(), 2u);
    EXPECT_EQ(ended.results[0].outcome, PutOutcome::kIncomplete);
    EXPECT_EQ(ended.results[1].outcome, PutOutcome::kIncomplete);
  }
}

TEST_F(WindowIngestTest, BlocksArriveAheadInAnyOrderAndAreStoredInTheirs) {
  const auto window =
      std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true, .transfers_max = 3});
  WindowIngest::Request request;
  for (uint64_t i = 0; i < 5; ++i) {
    request.blocks.push_back(Place(*window, i, FrameOf(*space, i + 1, i, i + 1)));
  }
  const auto ingest = Put(window, request);
  while (window->waiting() < 3) std::this_thread::yield();
  window->End(2, TransferEnd::kDone);
  EXPECT_EQ(Resident(3, 3), 0u);  // its parents have not come
  window->End(1, TransferEnd::kDone);
  window->End(0, TransferEnd::kDone);
  for (int left = 2; left > 0; --left) {
    while (window->waiting() == 0) std::this_thread::yield();
    window->End(window->waiting() - 1, TransferEnd::kDone);
  }
  const Ended ended = Wait();
  ASSERT_TRUE(ended.status.ok()) << ended.status;
  for (const IngestResult& result : ended.results) EXPECT_EQ(result.outcome, PutOutcome::kStored);
  for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(GetFrame(i + 1), FrameOf(*space, i + 1, i, i + 1));
}

TEST_F(WindowIngestTest, ABlockAheadFallsWithItsParent) {
  const auto window =
      std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true, .transfers_max = 4});
  const auto ingest = Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1)),
                                              Place(*window, 1, FrameOf(*space, 2, 1, 2)),
                                              Place(*window, 2, FrameOf(*space, 3, 0, 3))}});
  while (window->waiting() < 3) std::this_thread::yield();
  window->memory()[64] ^= std::byte{1};  // spoils the first
  for (int i = 0; i < 3; ++i) window->End(0, TransferEnd::kDone);
  const Ended ended = Wait();
  ASSERT_TRUE(ended.status.ok()) << ended.status;
  EXPECT_EQ(ended.results[0].outcome, PutOutcome::kCorrupt);
  EXPECT_EQ(ended.results[1].outcome, PutOutcome::kParentAbsent);
  EXPECT_EQ(ended.results[2].outcome, PutOutcome::kStored);
}

TEST_F(WindowIngestTest, ACallEndsAfterEveryTransferThatIsAhead) {
  const auto window =
      std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true, .transfers_max = 4});
  const auto ingest = Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1)),
                                              Place(*window, 1, FrameOf(*space, 2, 0, 2)),
                                              Place(*window, 2, FrameOf(*space, 3, 0, 3))}});
  auto future = done.get_future();
  while (window->waiting() < 3) std::this_thread::yield();
  window->End(0, TransferEnd::kPeerGone);
  window->End(1, TransferEnd::kPeerGone);
  EXPECT_EQ(future.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  EXPECT_GT(store.ingest_budget().used(), 0u);
  window->End(0, TransferEnd::kDone);  // the memory was not reused before this
  const Ended ended = future.get();
  for (const IngestResult& result : ended.results) {
    EXPECT_EQ(result.outcome, PutOutcome::kIncomplete);
  }
}

TEST_F(WindowIngestTest, BlocksBeyondThoseExpectedEndTheCallAndAreNotKept) {
  constexpr size_t kHeaderBytes = 64 << 10;
  const auto window = std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true});
  const auto ingest = Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1))}});
  while (window->waiting() == 0) std::this_thread::yield();
  const size_t before = ::mallinfo2().uordblks;
  for (int i = 0; i < 512; ++i) {
    std::vector<WindowIngest::Block> more(1);
    more[0].frame_header.resize(kHeaderBytes);
    ingest->Add(std::move(more));
  }
  EXPECT_LT(::mallinfo2().uordblks, before + 64 * kHeaderBytes);
  window->End(0, TransferEnd::kDone);
  EXPECT_EQ(Wait().status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(WindowIngestTest, ACancelledCallStoresNoFurtherBlock) {
  const auto window = std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true});
  const auto ingest = Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1))}});
  while (window->waiting() == 0) std::this_thread::yield();
  ingest->Cancel();
  window->End(0, TransferEnd::kDone);
  EXPECT_EQ(Wait().results[0].outcome, PutOutcome::kIncomplete);
}

// As clients do that compute the checksums of a block while those before it are read.
TEST_F(WindowIngestTest, TakesTheBlocksOfACallBitByBit) {
  for (const int transfers : {1, 8}) {
    done = {};
    const auto window =
        std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.transfers_max = transfers});
    const uint64_t first = 10 * transfers;
    const auto frame = [&](uint64_t i) {
      return FrameOf(*space, first + i, i == 0 ? 0 : first + i - 1, first + i);
    };
    const auto ingest = Put(window, {.blocks = {Place(*window, 0, frame(0))}}, 4);
    while (GetFrame(first) != frame(0))
      std::this_thread::yield();  // stored before the next is named
    ingest->Add({Place(*window, 1, frame(1)), Place(*window, 2, frame(2))});
    while (GetFrame(first + 2) != frame(2)) std::this_thread::yield();
    auto future = done.get_future();
    EXPECT_EQ(future.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
    ingest->Add({Place(*window, 3, frame(3))});
    const Ended ended = future.get();
    ASSERT_TRUE(ended.status.ok()) << ended.status;
    ASSERT_EQ(ended.results.size(), 4u);
    for (const IngestResult& result : ended.results) {
      EXPECT_EQ(result.outcome, PutOutcome::kStored) << result.message;
    }
  }
}

TEST_F(WindowIngestTest, ACallThatIsNotCompletedEndsWhenItIsCancelled) {
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  const auto ingest = Put(window, {.blocks = {Place(*window, 0, FrameOf(*space, 1, 0, 1))}}, 3);
  while (GetFrame(1).empty()) std::this_thread::yield();
  ingest->Cancel();
  const Ended ended = Wait();
  ASSERT_TRUE(ended.status.ok()) << ended.status;
  EXPECT_EQ(ended.results[0].outcome, PutOutcome::kStored);
  EXPECT_EQ(ended.results[1].outcome, PutOutcome::kIncomplete);
  EXPECT_EQ(ended.results[2].outcome, PutOutcome::kIncomplete);
  ingest->Add({Place(*window, 1, FrameOf(*space, 2, 1, 2))});  // too late: nothing comes of it
  EXPECT_TRUE(GetFrame(2).empty());
}

TEST_F(WindowIngestTest, MoreBlocksThanWereAnnouncedEndTheCall) {
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  const auto ingest = Put(window, {}, 2);
  std::vector<WindowIngest::Block> blocks;
  for (uint64_t i = 0; i < 3; ++i) {
    blocks.push_back(Place(*window, i, FrameOf(*space, i + 1, i, i + 1)));
  }
  ingest->Add(std::move(blocks));
  EXPECT_EQ(Wait().status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(WindowIngestTest, ARefusedBlockEndsTheCallWithItsReason) {
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  const auto ingest = Put(window, {}, 2);
  ingest->Refuse(absl::InvalidArgumentError("outside"));
  EXPECT_EQ(Wait().status, absl::InvalidArgumentError("outside"));
}

}  // namespace
}  // namespace larder::server
