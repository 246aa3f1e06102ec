#include "server/store/window_fetch.h"

#include <future>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/fakes/fake_window.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

using Outcomes = std::vector<WindowFetch::Outcome>;

class WindowFetchTest : public StoreFixture {
 protected:
  WindowFetchTest() : StoreFixture(RawConfig()) {}
  static Config RawConfig() {
    Config config;
    config.codec = "raw";
    return config;
  }
  static constexpr uint64_t kRangeBytes = 8192;

  // Starts a get of blocks first..last, block i into range i.
  std::shared_ptr<WindowFetch> Get(std::shared_ptr<Window> window, uint64_t first, uint64_t last,
                                   WindowFetch::Request request = {}) {
    for (uint64_t i = request.targets.size(); i <= last - first; ++i) {
      request.targets.push_back({i * kRangeBytes, kRangeBytes});
    }
    auto session = std::make_unique<FetchSession>(
        store.OpenFetch(*space, Hashes(first, last), {.deadline = TimePoint::max()}));
    auto fetch =
        WindowFetch::Create({pool, metrics}, std::move(window), std::move(session), request);
    fetch->Start([this](Outcomes outcomes) { done.set_value(std::move(outcomes)); });
    return fetch;
  }
  Outcomes Wait() { return done.get_future().get(); }
  bool Holds(const FakeWindow& window, uint64_t range, uint64_t number, uint64_t parent) {
    const Bytes frame = FrameOf(*space, number, parent, number);
    auto& memory = const_cast<FakeWindow&>(window).memory();
    return std::memcmp(memory.data() + range * kRangeBytes, frame.data(), frame.size()) == 0;
  }
  static void AwaitTransfers(const FakeWindow& window, size_t count) {
    while (window.waiting() != count) std::this_thread::yield();
  }

  TransportPool pool{2};
  std::promise<Outcomes> done;
};

TEST_F(WindowFetchTest, WritesEveryHitIntoItsRangeAndNamesEveryMiss) {
  PutChain(1, 3);
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  const auto fetch = Get(window, 1, 5);
  const Outcomes outcomes = Wait();
  ASSERT_EQ(outcomes.size(), 5u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(outcomes[i].hit);
    EXPECT_EQ(outcomes[i].frame_bytes, RawFrameBytes(space->shape));
    EXPECT_TRUE(Holds(*window, i, i + 1, i)) << i;
  }
  EXPECT_EQ(outcomes[3].miss_reason, MissReason::kNeverSeen);
  EXPECT_EQ(outcomes[4].miss_reason, MissReason::kNeverSeen);
  EXPECT_EQ(window->memory()[3 * kRangeBytes], std::byte{0});
}

TEST_F(WindowFetchTest, TellsTheWindowHowToCopy) {
  PutChain(1, 3);
  for (const bool to_caches : {false, true}) {
    const auto window = std::make_shared<FakeWindow>(1 << 20);
    done = {};
    const auto fetch = Get(window, 1, 3, {.to_caches = to_caches});
    Wait();
    EXPECT_EQ(window->to_caches(), to_caches ? 3 : 0);
  }
}

TEST_F(WindowFetchTest, APrefixEndsAtTheFirstMiss) {
  ASSERT_EQ(Put(1), PutOutcome::kStored);
  ASSERT_EQ(Put(3), PutOutcome::kStored);
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  const auto fetch = Get(window, 1, 3, {.prefix = true});
  const Outcomes outcomes = Wait();
  EXPECT_TRUE(outcomes[0].hit);
  EXPECT_EQ(outcomes[1].miss_reason, MissReason::kNeverSeen);
  EXPECT_FALSE(outcomes[2].hit);
  EXPECT_EQ(outcomes[2].miss_reason, MissReason::kNeverSeen);
}

TEST_F(WindowFetchTest, WritesNothingIntoARangeThatIsTooSmall) {
  PutChain(1, 2);
  const auto window = std::make_shared<FakeWindow>(1 << 20);
  const uint64_t frame_bytes = RawFrameBytes(space->shape);
  const auto fetch =
      Get(window, 1, 2, {.targets = {{0, frame_bytes - 1}, {kRangeBytes, frame_bytes}}});
  const Outcomes outcomes = Wait();
  EXPECT_TRUE(outcomes[0].too_large);
  EXPECT_FALSE(outcomes[0].hit);
  EXPECT_EQ(outcomes[0].frame_bytes, frame_bytes);
  EXPECT_EQ(window->memory()[0], std::byte{0});
  EXPECT_TRUE(outcomes[1].hit);
}

TEST_F(WindowFetchTest, EndsWhenEveryTransferHasEndedInWhateverOrder) {
  PutChain(1, 4);
  const auto window =
      std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true, .transfers_max = 3});
  const auto fetch = Get(window, 1, 4);
  auto future = done.get_future();
  AwaitTransfers(*window, 3);  // not the fourth
  EXPECT_EQ(store.blocks().stats().pinned_blocks, 3u);
  window->End(2, TransferEnd::kDone);
  AwaitTransfers(*window, 3);
  window->End(0, TransferEnd::kOverDeadline);
  window->End(0, TransferEnd::kDone);
  EXPECT_EQ(future.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  window->End(0, TransferEnd::kFailed);
  const Outcomes outcomes = future.get();
  EXPECT_EQ(outcomes[0].miss_reason, MissReason::kOverDeadline);
  EXPECT_TRUE(outcomes[1].hit);
  EXPECT_TRUE(outcomes[2].hit);
  EXPECT_EQ(outcomes[3].miss_reason, MissReason::kBusy);
  EXPECT_EQ(outcomes[3].frame_bytes, 0u);
}

TEST_F(WindowFetchTest, TheClientsDeathEndsWhatRuns) {
  PutChain(1, 2);
  const auto window = std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true});
  const auto fetch = Get(window, 1, 2);
  AwaitTransfers(*window, 1);
  window->Close();
  const Outcomes outcomes = Wait();
  EXPECT_EQ(outcomes[0].miss_reason, MissReason::kBusy);
  EXPECT_EQ(outcomes[1].miss_reason, MissReason::kBusy);
}

TEST_F(WindowFetchTest, ACancelledCallBeginsNothingMore) {
  PutChain(1, 3);
  const auto window = std::make_shared<FakeWindow>(1 << 20, FakeWindow::Options{.hold = true});
  const auto fetch = Get(window, 1, 3);
  AwaitTransfers(*window, 1);
  fetch->Cancel();
  window->End(0, TransferEnd::kDone);
  const Outcomes outcomes = Wait();
  EXPECT_TRUE(outcomes[0].hit);
  EXPECT_FALSE(outcomes[1].hit);
  EXPECT_FALSE(outcomes[2].hit);
}

TEST_F(WindowFetchTest, ManyCallsAtOnceKeepTheirBytesApart) {
  PutChain(1, 8);
  std::vector<std::shared_ptr<FakeWindow>> windows;
  std::vector<std::shared_ptr<WindowFetch>> fetches;
  std::vector<std::future<Outcomes>> futures;
  for (int call = 0; call < 64; ++call) {
    windows.push_back(std::make_shared<FakeWindow>(1 << 20));
    done = {};
    auto promise = std::make_shared<std::promise<Outcomes>>();
    futures.push_back(promise->get_future());
    WindowFetch::Request request;
    for (uint64_t i = 0; i < 8; ++i) request.targets.push_back({i * kRangeBytes, 16 * kRangeBytes});
    auto session = std::make_unique<FetchSession>(store.OpenFetch(*space, Hashes(1, 8), {}));
    fetches.push_back(
        WindowFetch::Create({pool, metrics}, windows.back(), std::move(session), request));
    fetches.back()->Start(
        [promise](Outcomes outcomes) { promise->set_value(std::move(outcomes)); });
  }
  for (int call = 0; call < 64; ++call) {
    const Outcomes outcomes = futures[call].get();
    for (uint64_t i = 0; i < 8; ++i) {
      EXPECT_TRUE(outcomes[i].hit);
      EXPECT_TRUE(Holds(*windows[call], i, i + 1, i));
    }
  }
}

}  // namespace
}  // namespace larder::server
