#include "server/base/fault_board.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "server/base/fault_flags.h"
#include "server/base/planted_bug.h"

namespace larder::server {
namespace {

constexpr size_t kPoint = FaultPoint("slab.reserve").index();
constexpr size_t kOther = FaultPoint("put.header").index();

std::unique_ptr<FaultBoard> Board() { return FaultBoard::Open("").value(); }

class BoardFile {
 public:
  BoardFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "board-XXXXXX").string();
    const int file = ::mkstemp(pattern.data());
    if (file >= 0) ::close(file);
    path_ = pattern;
  }
  ~BoardFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(FaultBoardTest, CountsAndDoesNothingWithoutARule) {
  const auto board = Board();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(board->Reach(kPoint, {}), 0);
  EXPECT_EQ(board->reached(kPoint), 5u);
  EXPECT_EQ(board->fired(kPoint), 0u);
  EXPECT_EQ(board->Report(), "slab.reserve reached 5 fired 0\n");
}

TEST(FaultBoardTest, FiresAsTheRuleSays) {
  const auto board = Board();
  ASSERT_TRUE(board->SetPlan("slab.reserve=fail@n3;put.header=eio@every2").ok());
  std::vector<int> nth, every;
  for (int i = 0; i < 6; ++i) {
    nth.push_back(board->Reach(kPoint, {}));
    every.push_back(board->Reach(kOther, {}));
  }
  EXPECT_EQ(nth, (std::vector<int>{0, 0, EAGAIN, 0, 0, 0}));
  EXPECT_EQ(every, (std::vector<int>{0, EIO, 0, EIO, 0, EIO}));

  // A new plan counts from its own beginning, and ends the rules of the old one.
  ASSERT_TRUE(board->SetPlan("slab.reserve=enospc@n1").ok());
  EXPECT_EQ(board->Reach(kPoint, {}), ENOSPC);
  EXPECT_EQ(board->Reach(kOther, {}), 0);
  EXPECT_EQ(board->Reach(kOther, {}), 0);
}

TEST(FaultBoardTest, ProbabilityFollowsTheSeed) {
  const auto pattern = [](const std::string& seed) {
    const auto board = Board();
    EXPECT_TRUE(board->SetPlan("seed=" + seed + ";slab.reserve=fail@0.25").ok());
    std::vector<bool> fired;
    for (int i = 0; i < 4'000; ++i) fired.push_back(board->Reach(kPoint, {}) != 0);
    EXPECT_GT(board->fired(kPoint), 850u);
    EXPECT_LT(board->fired(kPoint), 1'150u);
    return fired;
  };
  EXPECT_EQ(pattern("7"), pattern("7"));
  EXPECT_NE(pattern("7"), pattern("8"));
}

TEST(FaultBoardTest, FlipsOneBitAndLeavesPointsWithoutBytesAlone) {
  const auto board = Board();
  ASSERT_TRUE(board->SetPlan("seed=3;slab.reserve=flip@1").ok());
  EXPECT_EQ(board->Reach(kPoint, {}), 0);
  EXPECT_EQ(board->fired(kPoint), 0u);
  std::vector<std::byte> bytes(64);
  EXPECT_EQ(board->Reach(kPoint, bytes), 0);
  int ones = 0;
  for (const std::byte byte : bytes) ones += __builtin_popcount(std::to_integer<unsigned>(byte));
  EXPECT_EQ(ones, 1);
}

TEST(FaultBoardTest, DelaysTheCaller) {
  const auto board = Board();
  ASSERT_TRUE(board->SetPlan("slab.reserve=delay:20@n1").ok());
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(board->Reach(kPoint, {}), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

TEST(FaultBoardTest, AFileKeepsTheCountersOfAProcessThatKilledItself) {
  const BoardFile file;
  const auto board = FaultBoard::Open(file.path()).value();
  ASSERT_TRUE(board->SetPlan("slab.reserve=kill@n3").ok());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (;;) board->Reach(kPoint, {});
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(board->reached(kPoint), 3u);
  EXPECT_EQ(board->kills(kPoint), 1u);
  EXPECT_EQ(FaultBoard::Open(file.path()).value()->reached(kPoint), 3u);
}

TEST(FaultBoardTest, RefusesAFileOfOtherPoints) {
  const BoardFile file;
  std::FILE* const stream = std::fopen(file.path().c_str(), "w");
  std::fputs("something else entirely", stream);
  std::fclose(stream);
  EXPECT_EQ(FaultBoard::Open(file.path()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FaultBoardTest, RefusesBrokenPlansAndKeepsTheOldOne) {
  const auto board = Board();
  ASSERT_TRUE(board->SetPlan("slab.reserve=fail@1").ok());
  for (const char* plan :
       {"slab.reserve", "slab.reserve=fail", "slab.reserve=fail@", "slab.reserve=fail@0",
        "slab.reserve=fail@1.5", "slab.reserve=fail@n0", "slab.reserve=fail@everyx",
        "slab.reserve=explode@1", "slab.reserve=delay:0@1", "slab.reserve=delay:70000@1",
        "no.such.point=fail@1", "seed=x", "put.header=eio@1;slab.reserve=fail@2"}) {
    EXPECT_EQ(board->SetPlan(plan).code(), absl::StatusCode::kInvalidArgument) << plan;
  }
  EXPECT_EQ(board->Reach(kPoint, {}), EAGAIN);
  EXPECT_EQ(board->Reach(kOther, {}), 0);
}

TEST(FaultFlagsTest, TakesItsOwnAndLeavesTheOthers) {
  const BoardFile file;
  std::vector<std::string> words = {
      "larderd",       "--dram-bytes", "1GiB",          "--fault-plan=slab.reserve=fail@1",
      "--fault-board", file.path(),    "--planted-bug", std::string(kPlantedBugs[0]),
      "--hbm-fake"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const auto others = TakeFaultFlags(static_cast<int>(argv.size()), argv.data());
  ASSERT_TRUE(others.ok()) << others.status();
  EXPECT_TRUE(others->hbm_fake);
  EXPECT_EQ(std::vector<std::string>(others->arguments.begin(), others->arguments.end()),
            (std::vector<std::string>{"larderd", "--dram-bytes", "1GiB"}));
  EXPECT_EQ(FaultAt("slab.reserve"), EAGAIN);
  EXPECT_EQ(FaultBoard::Open(file.path()).value()->fired(kPoint), 1u);

  words = {"larderd", "--planted-bug", "no.such.bug"};
  argv = {words[0].data(), words[1].data(), words[2].data()};
  EXPECT_FALSE(TakeFaultFlags(3, argv.data()).ok());
}

}  // namespace
}  // namespace larder::server
