#include "kernels/codec/rope_params.h"

#include <gtest/gtest.h>

namespace larder {
namespace {

TEST(RopeParamsTest, KnowsTheRotationsThatCodecsKnow) {
  EXPECT_EQ(RopeParamsOf({}).pairing, 0);
  EXPECT_EQ(RopeParamsOf({.pairing = 2, .theta = 1e4}).pairing, 2);
  const RopeParams llama3 = RopeParamsOf({.pairing = 1,
                                          .rotary_dim = 128,
                                          .theta = 5e5,
                                          .scaling = "llama3",
                                          .scaling_factor = 8,
                                          .attention_factor = 0});
  EXPECT_EQ(llama3.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(llama3.scaling_factor, 8.0f);
  EXPECT_EQ(llama3.attention_factor, 1.0f);
  EXPECT_EQ(RopeParamsOf({.pairing = 1, .theta = 1e4, .scaling = "yarn"}).pairing, 0);
  EXPECT_EQ(RopeParamsOf({.pairing = 1, .scaling = "none", .scaling_factor = 4}).scaling_factor, 1);
}

}  // namespace
}  // namespace larder
