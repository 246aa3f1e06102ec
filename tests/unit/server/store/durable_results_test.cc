#include "server/store/durable_results.h"

#include <memory>
#include <optional>

#include "gtest/gtest.h"

namespace larder::server {
namespace {

class DurableResultsTest : public ::testing::Test {
 protected:
  void Finish(size_t blocks) {
    std::vector<IngestResult> stored(blocks);
    for (IngestResult& result : stored) result.outcome = PutOutcome::kStored;
    results.Finish(std::move(stored),
                   [this](std::vector<IngestResult> all) { answer = std::move(all); });
  }

  DurableResults results;
  std::optional<std::vector<IngestResult>> answer;
};

TEST_F(DurableResultsTest, TheLastBlockAnswers) {
  results.Expect();
  results.Expect();
  Finish(2);
  results.Ended(1, absl::OkStatus());
  EXPECT_FALSE(answer.has_value());
  results.Ended(0, absl::DeadlineExceededError("late"));
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE((*answer)[0].durable);
  EXPECT_NE((*answer)[0].message.find("late"), std::string::npos);
  EXPECT_TRUE((*answer)[1].durable);
  EXPECT_EQ((*answer)[1].message, "");
}

TEST_F(DurableResultsTest, TheSessionAnswersWhenItsBlocksWereFaster) {
  results.Expect();
  results.Ended(0, absl::OkStatus());
  EXPECT_FALSE(answer.has_value());
  Finish(1);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE((*answer)[0].durable);
}

}  // namespace
}  // namespace larder::server
