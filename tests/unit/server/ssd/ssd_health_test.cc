// A device that fails, stalls or goes away: every call ends by its deadline with a typed error, and the
// tier comes back by itself.
#include <gtest/gtest.h>

#include <cerrno>
#include <thread>

#include "server/ssd/ssd_tier.h"
#include "tests/fakes/faulty_io_queue.h"
#include "tests/unit/server/ssd/ssd_fixture.h"

namespace larder::testing {
namespace {

using server::FaultyIoQueue;
using server::IoFaults;
using server::SsdHealth;

class SsdHealthTest : public ::testing::Test {
 protected:
  SsdHealthTest() {
    options_ = SmallSsd(directory_);
    options_.stall_limit = std::chrono::milliseconds(50);
    options_.make_queue = [this](const server::IoQueueOptions& options) {
      return std::make_unique<FaultyIoQueue>(options, faults_);
    };
    tier_ = OpenSsd(options_);
    location_ = AppendNow(*tier_, block_).value();
  }

  // No figure: the test's time limit is the bound.
  void AwaitHealth(SsdHealth health) const {
    while (tier_->health() != health) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  absl::StatusOr<SsdFrame> Read(std::chrono::milliseconds in = std::chrono::seconds(20)) {
    return ReadNow(*tier_, block_.record.key, location_, Soon(in));
  }
  absl::Status Append(const TestBlock& block, std::chrono::milliseconds in) {
    std::promise<absl::Status> ended;
    const absl::Status status = tier_->Append(
        {.record = block.record, .frame = {block.frame}, .deadline = Soon(in), .urgent = true},
        [&](absl::StatusOr<SsdLocation> location) { ended.set_value(location.status()); });
    return status.ok() ? ended.get_future().get() : status;
  }
  void ExpectWholeAgain() {
    AwaitHealth(SsdHealth::kOk);
    EXPECT_TRUE(Same(Read(), block_));
    const TestBlock another = MakeBlock(77);
    const auto location = AppendNow(*tier_, another);
    ASSERT_TRUE(location.ok()) << location.status();
    EXPECT_TRUE(Same(ReadNow(*tier_, another.record.key, *location), another));
  }

  const ScratchDirectory directory_;
  const TestBlock block_ = MakeBlock(1, 200);
  const TestBlock other_ = MakeBlock(2, 200);
  IoFaults faults_;
  server::SsdOptions options_;
  std::unique_ptr<SsdTier> tier_;
  SsdLocation location_;
};

TEST_F(SsdHealthTest, OneBadSectorIsAMissAndNotADeadDevice) {
  faults_.Fail(IoFaults::Kind::kRead, EIO);
  EXPECT_TRUE(absl::IsUnavailable(Read().status()));
  faults_.FailAll(0);
  EXPECT_EQ(tier_->health(), SsdHealth::kOk);
  EXPECT_TRUE(Same(Read(), block_));
  EXPECT_EQ(tier_->usage().read_errors, 1u);
}

TEST_F(SsdHealthTest, ReadErrorsInARowTakeTheDeviceOfflineAndAProbeBringsItBack) {
  faults_.Fail(IoFaults::Kind::kRead, EIO);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(absl::IsUnavailable(Read().status()));
  EXPECT_EQ(tier_->health(), SsdHealth::kOffline);
  const uint64_t errors = tier_->usage().read_errors;
  EXPECT_TRUE(absl::IsUnavailable(Read().status()));  // refused at once
  EXPECT_TRUE(absl::IsUnavailable(Append(other_, std::chrono::seconds(5))));
  EXPECT_EQ(tier_->usage().read_errors, errors);
  faults_.FailAll(0);
  ExpectWholeAgain();
}

TEST_F(SsdHealthTest, AWriteThatFailsNamesNothing) {
  faults_.Fail(IoFaults::Kind::kWrite, ENOSPC);
  EXPECT_TRUE(absl::IsUnavailable(Append(other_, std::chrono::seconds(20))));
  EXPECT_EQ(tier_->Find(other_.record.key).value(), std::nullopt);
  EXPECT_EQ(tier_->health(), SsdHealth::kOffline);
  faults_.FailAll(0);
  ExpectWholeAgain();
}

TEST_F(SsdHealthTest, ASyncThatFailsNamesNothing) {
  faults_.Fail(IoFaults::Kind::kSync, EIO);
  EXPECT_TRUE(absl::IsUnavailable(Append(other_, std::chrono::seconds(20))));
  EXPECT_EQ(tier_->Find(other_.record.key).value(), std::nullopt);
  faults_.FailAll(0);
  ExpectWholeAgain();
}

TEST_F(SsdHealthTest, AStalledDeviceCostsNobodyMoreThanTheDeadline) {
  faults_.Stall();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Read(std::chrono::milliseconds(20)).status()));
  const absl::Status append = Append(other_, std::chrono::milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(append) || absl::IsUnavailable(append)) << append;
  AwaitHealth(SsdHealth::kOffline);
  EXPECT_TRUE(absl::IsUnavailable(Read().status()));
  faults_.Release();
  ExpectWholeAgain();
  EXPECT_GE(tier_->usage().over_deadline, 1u);
}

TEST_F(SsdHealthTest, ADeviceThatVanishesUnderLoadComesBackWithoutARestart) {
  std::vector<TestBlock> blocks;
  for (uint32_t i = 100; i < 140; ++i) blocks.push_back(MakeBlock(i, 300));
  std::vector<std::future<absl::StatusOr<SsdLocation>>> appends;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i == blocks.size() / 2) faults_.FailAll(ENODEV);
    appends.push_back(StartAppend(*tier_, blocks[i]));
  }
  std::vector<absl::StatusOr<SsdLocation>> ended;
  for (auto& append : appends) ended.push_back(append.get());
  faults_.FailAll(0);
  ExpectWholeAgain();
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto found = tier_->Find(blocks[i].record.key);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->has_value(), ended[i].ok());  // named if and only if acknowledged
    if (!ended[i].ok()) {
      EXPECT_TRUE(absl::IsUnavailable(ended[i].status())) << ended[i].status();
      continue;
    }
    EXPECT_TRUE(Same(ReadNow(*tier_, blocks[i].record.key, *ended[i]), blocks[i]));
  }
}

}  // namespace
}  // namespace larder::testing
