#include "server/transport/window_table.h"

#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/fakes/fake_window.h"

namespace larder::server {
namespace {

constexpr WindowTable::Options kOptions = {.windows_max = 4,
                                           .windows_per_client_max = 2,
                                           .window_bytes_max = 1000,
                                           .windows_bytes_max = 1500};

std::string Open(WindowTable& table, std::string_view owner, uint64_t bytes) {
  auto permit = table.Admit(owner, bytes);
  EXPECT_TRUE(permit.ok()) << permit.status();
  return table.Add(*std::move(permit), std::make_shared<FakeWindow>(bytes));
}

TEST(WindowTableTest, FindsAWindowForItsOwnerOnly) {
  WindowTable table(kOptions);
  const std::string id = Open(table, "a", 100);
  ASSERT_EQ(id.size(), WindowTable::kIdBytes);
  ASSERT_TRUE(table.Find(id, "a").ok());
  EXPECT_EQ((*table.Find(id, "a"))->bytes(), 100u);
  std::string forged = id;
  forged[3] ^= 1;
  const absl::Status foreign = table.Find(id, "b").status();
  EXPECT_EQ(foreign.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(table.Find(forged, "a").status(), foreign);  // not told apart
  EXPECT_EQ(table.Find("", "a").status(), foreign);
  EXPECT_EQ(table.Find(std::string(100, 'x'), "a").status(), foreign);
}

TEST(WindowTableTest, GivesEveryWindowAnotherId) {
  WindowTable table({1000, 1000, 1, 1000});
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(Open(table, "a", 1));
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(WindowTableTest, RefusesWhatExceedsABoundAndTakesItBackWithTheWindow) {
  WindowTable table(kOptions);
  EXPECT_EQ(table.Admit("a", 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table.Admit("a", 1001).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table.Admit("a", UINT64_MAX).status().code(), absl::StatusCode::kInvalidArgument);
  const std::string big = Open(table, "a", 1000);
  EXPECT_EQ(table.Admit("a", 501).status().code(), absl::StatusCode::kResourceExhausted);
  const std::string second = Open(table, "a", 10);
  EXPECT_EQ(table.Admit("a", 10).status().code(), absl::StatusCode::kResourceExhausted);
  const std::string third = Open(table, "b", 10);
  const std::string fourth = Open(table, "c", 10);
  EXPECT_EQ(table.Admit("d", 10).status().code(), absl::StatusCode::kResourceExhausted);
  table.Drop(big);
  EXPECT_EQ(table.stats().windows, 3u);
  EXPECT_EQ(table.stats().bytes, 30u);
  Open(table, "a", 1000);
}

TEST(WindowTableTest, APermitThatIsNotUsedHoldsNothing) {
  WindowTable table(kOptions);
  { auto permit = table.Admit("a", 1000); }
  EXPECT_EQ(table.stats().bytes, 0u);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(table.Admit("a", 1000).ok());
}

TEST(WindowTableTest, HoldsAClosedWindowUntilItsLastUserLetsGo) {
  WindowTable table(kOptions);
  const std::string id = Open(table, "a", 700);
  auto used = table.Find(id, "a");
  bool gone = false;
  EXPECT_FALSE(table.Close(id, "b", [&] { gone = true; }));
  EXPECT_TRUE(table.Close(id, "a", [&] { gone = true; }));
  EXPECT_FALSE(gone);
  EXPECT_EQ(table.stats().windows, 0u);
  EXPECT_EQ(table.stats().bytes, 700u);  // the memory is still mapped
  EXPECT_FALSE(table.Find(id, "a").ok());
  EXPECT_FALSE(table.Close(id, "a", nullptr));
  TransferEnd end{};
  (*used)->Write({}, {}, [&](TransferEnd e) { end = e; });
  EXPECT_EQ(end, TransferEnd::kPeerGone);
  uint64_t bytes_when_gone = 1;
  used->reset();
  EXPECT_TRUE(gone);
  bytes_when_gone = table.stats().bytes;
  EXPECT_EQ(bytes_when_gone, 0u);
}

TEST(WindowTableTest, TellsThatAWindowIsGoneAfterItsBoundsAreFree) {
  WindowTable table(kOptions);
  const std::string id = Open(table, "a", 700);
  uint64_t bytes = 1;
  EXPECT_TRUE(table.Close(id, "a", [&] { bytes = table.stats().bytes; }));
  EXPECT_EQ(bytes, 0u);
}

TEST(WindowTableTest, EndsWaitingTransfersWithTheClient) {
  WindowTable table(kOptions);
  auto permit = table.Admit("a", 100);
  auto fake = std::make_shared<FakeWindow>(100, FakeWindow::Options{.hold = true});
  const std::string id = table.Add(*std::move(permit), fake);
  TransferEnd end{};
  fake->Write({}, {}, [&](TransferEnd e) { end = e; });
  table.Drop(id);
  EXPECT_EQ(end, TransferEnd::kPeerGone);
  table.Drop(id);  // twice is nothing
}

TEST(WindowTableTest, KeepsItsBoundsUnderContention) {
  WindowTable table({.windows_max = 8,
                     .windows_per_client_max = 4,
                     .window_bytes_max = 100,
                     .windows_bytes_max = 500});
  std::atomic<int> opened{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string owner(1, static_cast<char>('a' + t % 2));
      for (int i = 0; i < 2000; ++i) {
        auto permit = table.Admit(owner, 50 + i % 51);
        if (!permit.ok()) continue;
        ++opened;
        const std::string id = table.Add(*std::move(permit), std::make_shared<FakeWindow>(1));
        if (table.stats().bytes > 500 || table.stats().windows > 8) over = true;
        auto used = table.Find(id, owner);
        table.Close(id, owner, nullptr);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_GT(opened, 1000);
  EXPECT_EQ(table.stats().windows, 0u);
  EXPECT_EQ(table.stats().bytes, 0u);
}

}  // namespace
}  // namespace larder::server
