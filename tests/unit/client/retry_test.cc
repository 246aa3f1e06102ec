#include "client/retry.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace larder {
namespace {

using std::chrono::milliseconds;

TEST(RetryTest, WaitsStayBelowADoublingBoundAndItsMaximum) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Backoff backoff(milliseconds(20), milliseconds(100), seed);
    for (const int bound : {20, 40, 80, 100, 100, 100}) {
      const auto wait = backoff.Next();
      EXPECT_GE(wait.count(), 0);
      EXPECT_LE(wait.count(), bound);
    }
  }
}

TEST(RetryTest, WaitsDifferBetweenClients) {
  Backoff a(milliseconds(1000), milliseconds(1000), 1),
      b(milliseconds(1000), milliseconds(1000), 2);
  bool differ = false;
  for (int i = 0; i < 10; ++i) differ |= a.Next() != b.Next();
  EXPECT_TRUE(differ);
}

TEST(RetryTest, OnlyBackingOffAndAbsenceAreRetried) {
  EXPECT_TRUE(IsRetryable(absl::UnavailableError("")));
  EXPECT_TRUE(IsRetryable(absl::ResourceExhaustedError("")));
  EXPECT_FALSE(IsRetryable(absl::InvalidArgumentError("")));
  EXPECT_FALSE(IsRetryable(absl::DeadlineExceededError("")));
  EXPECT_FALSE(IsRetryable(absl::CancelledError("")));
  EXPECT_FALSE(IsRetryable(absl::OkStatus()));
}

}  // namespace
}  // namespace larder
