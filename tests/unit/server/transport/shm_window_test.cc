#include "server/transport/shm_window.h"

#include <linux/falloc.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/fakes/manual_clock.h"
#include "tests/unit/server/transport/shm_memory.h"

namespace larder::server {
namespace {

constexpr size_t kBytes = 4 << 20;

std::vector<std::byte> Random(size_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> data(bytes);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random());
  return data;
}

class ShmWindowTest : public testing::Test {
 protected:
  std::unique_ptr<ShmWindow> Map(const ShmMemory& memory) {
    auto window = ShmWindow::Map(memory.fd(), memory.bytes(), clock_);
    EXPECT_TRUE(window.ok()) << window.status();
    return *std::move(window);
  }
  TransferEnd Write(ShmWindow& window, const Transfer& transfer, std::vector<std::byte>& data) {
    std::optional<TransferEnd> end;
    const size_t half = data.size() / 3;
    window.Write(transfer, {std::span(data).first(half), std::span(data).subspan(half)},
                 [&](TransferEnd e) { end = e; });
    EXPECT_TRUE(end.has_value());  // ended when it returns
    return end.value_or(TransferEnd::kFailed);
  }
  Transfer At(uint64_t offset) {
    return {.offset = offset, .deadline = clock_.Now() + std::chrono::seconds(1)};
  }

  ManualClock clock_;
};

TEST_F(ShmWindowTest, WritesAndReadsWhatItWasGiven) {
  ShmMemory memory(kBytes);
  const auto window = Map(memory);
  auto data = Random(1 << 20, 1);
  EXPECT_EQ(Write(*window, At(4096), data), TransferEnd::kDone);
  EXPECT_EQ(std::memcmp(memory.data() + 4096, data.data(), data.size()), 0);
  EXPECT_EQ(memory.data()[4095], std::byte{0});
  EXPECT_EQ(memory.data()[4096 + data.size()], std::byte{0});
  std::vector<std::byte> back(data.size());
  TransferEnd end{};
  window->Read(At(4096), {std::span(back).first(100), std::span(back).subspan(100)},
               [&](TransferEnd e) { end = e; });
  EXPECT_EQ(end, TransferEnd::kDone);
  EXPECT_EQ(back, data);
}

TEST_F(ShmWindowTest, TellsProgressAndTheEndInTheSlot) {
  ShmMemory memory(kBytes);
  const auto window = Map(memory);
  auto data = Random(1 << 20, 2);
  Transfer transfer = At(65536);
  transfer.progress_offset = 128;
  EXPECT_EQ(Write(*window, transfer, data), TransferEnd::kDone);
  EXPECT_EQ(memory.slot(128).state, ProgressSlot::kEnded | ProgressSlot::kBegun | (1 << 20) / 64);
  EXPECT_EQ(memory.slot(128).frame_bytes, data.size());
  transfer.progress_offset = 192;
  window->Skip(transfer);
  EXPECT_EQ(memory.slot(192).state, ProgressSlot::kEnded);
  EXPECT_EQ(memory.slot(256).state, 0u);
}

TEST_F(ShmWindowTest, WakesAClientThatSleepsOnItsSlot) {
  ShmMemory memory(kBytes);
  const auto window = Map(memory);
  ProgressSlot& slot = memory.slot(0);
  std::thread client([&] {
    slot.waiters = 1;
    while (slot.state == 0) ::syscall(SYS_futex, &slot.state, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  });
  while (slot.waiters == 0) std::this_thread::yield();
  Transfer transfer = At(0);
  transfer.progress_offset = 0;
  window->Skip(transfer);
  client.join();
}

TEST_F(ShmWindowTest, EndsAtTheDeadlineAndWhenClosedAndSaysSo) {
  ShmMemory memory(kBytes);
  const auto window = Map(memory);
  auto data = Random(1 << 20, 3);
  Transfer transfer = At(65536);
  transfer.progress_offset = 0;
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_EQ(Write(*window, transfer, data), TransferEnd::kOverDeadline);
  EXPECT_EQ(memory.slot(0).state,
            ProgressSlot::kEnded | ProgressSlot::kBegun);  // units short of the frame
  window->Close();
  transfer = At(65536);
  transfer.progress_offset = 64;
  EXPECT_EQ(Write(*window, transfer, data), TransferEnd::kPeerGone);
  EXPECT_NE(memory.slot(64).state & ProgressSlot::kEnded, 0u);
}

TEST_F(ShmWindowTest, LivesThroughPunchedPagesAndACutFile) {
  ShmMemory memory(kBytes);
  const auto window = Map(memory);
  auto data = Random(1 << 20, 4);
  ASSERT_EQ(::fallocate(memory.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kBytes), 0);
  EXPECT_EQ(Write(*window, At(0), data), TransferEnd::kDone);
  EXPECT_EQ(std::memcmp(memory.data(), data.data(), data.size()), 0);
  EXPECT_NE(::ftruncate(memory.fd(), 0), 0);  // the seals hold
}

TEST_F(ShmWindowTest, RefusesMemoryThatItCouldNotTrust) {
  const auto refuses = [&](int fd, uint64_t bytes) {
    return ShmWindow::Map(fd, bytes, clock_).status().code() == absl::StatusCode::kInvalidArgument;
  };
  ShmMemory unsealed(kBytes, 0);
  EXPECT_TRUE(refuses(unsealed.fd(), kBytes));
  ShmMemory shrinkable(kBytes, F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_TRUE(refuses(shrinkable.fd(), kBytes));
  ShmMemory sealable(kBytes, F_SEAL_GROW | F_SEAL_SHRINK);
  EXPECT_TRUE(refuses(sealable.fd(), kBytes));
  ShmMemory good(kBytes);
  EXPECT_TRUE(refuses(good.fd(), kBytes + 1));
  EXPECT_TRUE(refuses(good.fd(), kBytes - 1));
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  EXPECT_TRUE(refuses(pipe[0], kBytes));
  const int file = ::open(".", O_TMPFILE | O_RDWR, 0600);
  if (file >= 0) {
    ASSERT_EQ(::ftruncate(file, kBytes), 0);
    EXPECT_TRUE(refuses(file, kBytes));
    ::close(file);
  }
  ::close(pipe[0]);
  ::close(pipe[1]);
  EXPECT_TRUE(refuses(-1, kBytes));
}

TEST_F(ShmWindowTest, RefusesMemoryThatMayNotBeWritten) {
  const int fd = ::memfd_create("window", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(fd, kBytes), 0);
  ASSERT_EQ(::fcntl(fd, F_ADD_SEALS, kShmSeals | F_SEAL_WRITE), 0);
  EXPECT_EQ(ShmWindow::Map(fd, kBytes, clock_).status().code(), absl::StatusCode::kInvalidArgument);
  ::close(fd);
  ShmMemory good(kBytes);
  const int read_only = ::open(("/proc/self/fd/" + std::to_string(good.fd())).c_str(), O_RDONLY);
  ASSERT_GE(read_only, 0);
  EXPECT_EQ(ShmWindow::Map(read_only, kBytes, clock_).status().code(),
            absl::StatusCode::kInvalidArgument);
  ::close(read_only);
}

}  // namespace
}  // namespace larder::server
