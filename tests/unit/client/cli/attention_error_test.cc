#include "client/cli/attention_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace larder::cli {
namespace {

// Two tokens of one channel each, one query. Logits are q * k (head_dim 1).
AttentionScores ScoresOf(const std::vector<float>& decoded_keys,
                         const std::vector<float>& decoded_values) {
  const std::vector<float> queries = {1};
  const std::vector<float> keys = {0, 2};
  const std::vector<float> values = {1, -3};
  AttentionError error;
  error.Add({1, 1, queries, keys, values, decoded_keys, decoded_values});
  return error.Scores();
}

TEST(AttentionErrorTest, IsZeroForEqualRows) {
  const AttentionScores scores = ScoresOf({0, 2}, {1, -3});
  EXPECT_EQ(scores.key_relative_mse, 0);
  EXPECT_EQ(scores.value_relative_mse, 0);
  EXPECT_EQ(scores.logit_rmse, 0);
  EXPECT_EQ(scores.output_error, 0);
  EXPECT_EQ(scores.top1_agreement, 1);
  EXPECT_EQ(AttentionError().Scores().top1_agreement, 1);
}

TEST(AttentionErrorTest, MatchesNumbersWorkedOutByHand) {
  // Keys 1, 2: error 1 over an energy around the mean 1 of 2; logit errors +1, 0 around 0.5.
  const AttentionScores scores = ScoresOf({1, 2}, {1, -2});
  EXPECT_DOUBLE_EQ(scores.key_relative_mse, 0.5);
  EXPECT_DOUBLE_EQ(scores.value_relative_mse, 1.0 / 10);
  EXPECT_DOUBLE_EQ(scores.logit_rmse, 0.5);
  const double weight = 1 / (1 + std::exp(-2.0)), coded_weight = 1 / (1 + std::exp(-1.0));
  const double output = 1 - weight - 3 * weight;
  const double key_output = 1 - coded_weight - 3 * coded_weight;
  const double both_output = 1 - coded_weight - 2 * coded_weight;
  EXPECT_NEAR(scores.key_output_error, std::abs((key_output - output) / output), 1e-6);
  EXPECT_NEAR(scores.output_error, std::abs((both_output - output) / output), 1e-6);
  EXPECT_EQ(scores.top1_agreement, 1);
}

TEST(AttentionErrorTest, AnOffsetOfAllKeysChangesNoAttention) {
  const AttentionScores scores = ScoresOf({5, 7}, {1, -3});
  EXPECT_DOUBLE_EQ(scores.key_relative_mse, 25);
  EXPECT_NEAR(scores.logit_rmse, 0, 1e-6);
  EXPECT_NEAR(scores.key_output_error, 0, 1e-6);
}

TEST(AttentionErrorTest, SeesAnotherStrongestToken) {
  EXPECT_EQ(ScoresOf({3, 2}, {1, -3}).top1_agreement, 0);
  EXPECT_EQ(ScoresOf({2, 2}, {1, -3}).top1_agreement, 0);  // equal: the first
}

}  // namespace
}  // namespace larder::cli
