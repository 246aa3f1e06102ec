#include "client/cli/exit_code.h"

#include <gmock/gmock.h>

#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

TEST(ExitCodeTest, EveryCodeHasItsDocumentedExit) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(OverLimit("leases", 2, 1)), 1);
  EXPECT_EQ(ExitCodeOf(LeaseGone()), 1);
  EXPECT_EQ(ExitCodeOf(InvalidField("f", "a", "b")), 2);
  EXPECT_EQ(ExitCodeOf(NotFound("space", "7")), 3);
  EXPECT_EQ(ExitCodeOf(CorruptFrame("get")), 4);
  EXPECT_EQ(ExitCodeOf(ServerUnreachable("a:1", "refused")), 5);
  EXPECT_EQ(ExitCodeOf(DeadlineSpent("get")), 5);
}

TEST(ExitCodeTest, ErrorsSayWhatToDo) {
  const std::string text = ErrorText(ServerUnreachable("127.0.0.1:7440", "refused"));
  EXPECT_THAT(text, ::testing::StartsWith("larder: "));
  EXPECT_THAT(text, ::testing::HasSubstr("[UNAVAILABLE]"));
  EXPECT_THAT(text, ::testing::HasSubstr("--address"));
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace larder::cli
