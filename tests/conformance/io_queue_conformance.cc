// Every I/O queue keeps the contract of server/ssd/io_queue.h.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <future>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "server/ssd/io_queue.h"
#include "server/ssd/thread_queue.h"
#include "server/ssd/uring_queue.h"
#include "tests/fakes/faulty_io_queue.h"

namespace larder::server {
namespace {

constexpr uint64_t kPages = 64;

struct Implementation {
  const char* name;
  std::function<std::unique_ptr<IoQueue>(const IoQueueOptions&)> open;
};

class IoQueueConformance : public ::testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    char name[] = "io_queue_XXXXXX";
    file_ = mkostemp(name, O_CLOEXEC);
    ASSERT_GE(file_, 0);
    path_ = name;
    ASSERT_EQ(ftruncate(file_, kPages * kIoAlignment), 0);
    memory_ = static_cast<std::byte*>(std::aligned_alloc(kIoAlignment, 2 * kPages * kIoAlignment));
    for (uint64_t i = 0; i < 2 * kPages * kIoAlignment; ++i) {
      memory_[i] = static_cast<std::byte>(i * 31 + i / kIoAlignment);
    }
    queue_ = GetParam().open({.file = file_, .depth = 4, .registered = Pages(0, kPages)});
    if (queue_ == nullptr) GTEST_SKIP() << "the kernel refuses " << GetParam().name;
  }
  void TearDown() override {
    queue_.reset();
    close(file_);
    unlink(path_.c_str());
    std::free(memory_);
  }

  std::span<std::byte> Pages(uint64_t first, uint64_t count) const {
    return {memory_ + first * kIoAlignment, count * kIoAlignment};
  }
  int ReadNow(uint64_t page, std::span<std::byte> into) {
    std::promise<int> error;
    queue_->Read(page * kIoAlignment, into, [&](int result) { error.set_value(result); });
    return error.get_future().get();
  }
  int WriteNow(uint64_t page, std::span<const std::byte> from) {
    std::promise<int> error;
    queue_->Write(page * kIoAlignment, from, [&](int result) { error.set_value(result); });
    return error.get_future().get();
  }

  int file_ = -1;
  std::string path_;
  std::byte* memory_ = nullptr;
  std::unique_ptr<IoQueue> queue_;
};

TEST_P(IoQueueConformance, ReadsWhatWasWritten) {
  // From registered memory into other memory, and back.
  EXPECT_EQ(WriteNow(3, Pages(3, 5)), 0);
  EXPECT_EQ(ReadNow(3, Pages(kPages, 5)), 0);
  EXPECT_TRUE(std::ranges::equal(Pages(3, 5), Pages(kPages, 5)));
  EXPECT_EQ(WriteNow(20, Pages(kPages + 10, 2)), 0);
  EXPECT_EQ(ReadNow(20, Pages(0, 2)), 0);
  EXPECT_TRUE(std::ranges::equal(Pages(kPages + 10, 2), Pages(0, 2)));
  std::promise<int> synced;
  queue_->Sync([&](int error) { synced.set_value(error); });
  EXPECT_EQ(synced.get_future().get(), 0);
}

TEST_P(IoQueueConformance, EndsEveryOperationOnceWhateverTheDepth) {
  std::atomic<uint64_t> ended{0};
  std::atomic<uint64_t> failed{0};
  std::promise<void> all;
  constexpr uint64_t kOperations = 1000;
  const auto done = [&](int error) {
    failed += error != 0;
    if (++ended == kOperations) all.set_value();
  };
  for (uint64_t i = 0; i < kOperations; ++i) {
    const uint64_t page = i % kPages;
    if (i % 10 == 9) {
      queue_->Sync(done);
    } else if (i % 2 == 0) {
      queue_->Write(page * kIoAlignment, Pages(page, 1), done);
    } else {
      queue_->Read(page * kIoAlignment, Pages(kPages + page, 1), done);
    }
  }
  all.get_future().wait();
  EXPECT_EQ(failed, 0u);
  queue_.reset();
  EXPECT_EQ(ended, kOperations);
}

TEST_P(IoQueueConformance, ReportsTheEndOfTheFileAndABadFile) {
  EXPECT_EQ(ReadNow(kPages - 1, Pages(0, 2)), EIO);
  EXPECT_EQ(ReadNow(kPages + 5, Pages(0, 1)), EIO);
  const int read_only = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  queue_ = GetParam().open({.file = read_only, .depth = 4});
  ASSERT_NE(queue_, nullptr);
  EXPECT_EQ(WriteNow(0, Pages(0, 1)), EBADF);
  EXPECT_EQ(ReadNow(0, Pages(0, 1)), 0);
  queue_.reset();
  close(read_only);
}

TEST_P(IoQueueConformance, DoneMayCallTheQueueAndTheDestructorWaits) {
  std::atomic<int> hops{0};
  std::function<void(int)> again = [&](int error) {
    if (error == 0 && ++hops < 50) queue_->Read(0, Pages(0, 1), again);
  };
  std::promise<void> begun;
  queue_->Read(0, Pages(0, 1), [&](int error) {
    begun.set_value();
    again(error);
  });
  begun.get_future().wait();
  while (hops < 50) std::this_thread::yield();
  std::atomic<int> ended{0};
  for (int i = 0; i < 100; ++i) queue_->Write(0, Pages(0, 8), [&](int) { ++ended; });
  queue_.reset();
  EXPECT_EQ(ended, 100);
}

INSTANTIATE_TEST_SUITE_P(
    All, IoQueueConformance,
    ::testing::Values(Implementation{"io_uring",
                                     [](const IoQueueOptions& options) -> std::unique_ptr<IoQueue> {
                                       return UringQueue::Open(options);
                                     }},
                      Implementation{"threads",
                                     [](const IoQueueOptions& options) -> std::unique_ptr<IoQueue> {
                                       return std::make_unique<ThreadQueue>(options);
                                     }},
                      Implementation{"faulty",
                                     [](const IoQueueOptions& options) -> std::unique_ptr<IoQueue> {
                                       static IoFaults none;
                                       return std::make_unique<FaultyIoQueue>(options, none);
                                     }}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace larder::server
