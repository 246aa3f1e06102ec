#include "server/codec/device_plans.h"

#include <gtest/gtest.h>

#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder::server {
namespace {

TEST(DevicePlansTest, MakesAPlanOnceAndForOnePosition) {
  DevicePlans plans;
  const KvShape shape = AttentionShape();
  const auto turned = plans.Find(RecipeOf("fp8"), shape, 640);
  ASSERT_NE(turned, nullptr);
  EXPECT_TRUE(turned->plan.packed());
  EXPECT_EQ(plans.Find(RecipeOf("fp8"), shape, 640), turned);
  EXPECT_NE(plans.Find(RecipeOf("fp8"), shape, 1280), turned);
  EXPECT_NE(plans.Find(RecipeOf("balanced"), shape, 640), turned);
  EXPECT_NE(plans.Find(RecipeOf("fp8"), AttentionShape(41), 640), turned);
}

TEST(DevicePlansTest, SharesProofsBetweenPositions) {
  DevicePlans plans;
  const KvShape shape = AttentionShape();
  const auto first = plans.Find(RecipeOf("fp8"), shape, 640);
  EXPECT_FALSE(first->proven->load());
  EXPECT_EQ(plans.Find(RecipeOf("fp8"), shape, 1280)->proven, first->proven);
  EXPECT_NE(plans.Find(RecipeOf("q8q4"), shape, 640)->proven, first->proven);
}

TEST(DevicePlansTest, NeedsNoPositionWhereNothingTurns) {
  DevicePlans plans;
  const KvShape shape = AttentionShape();
  EXPECT_EQ(plans.Find(RecipeOf("lossless"), shape, 640),
            plans.Find(RecipeOf("lossless"), shape, 64));
}

TEST(DevicePlansTest, PlansNothingThatStaysRawOrThatNoDeviceCodes) {
  DevicePlans plans;
  EXPECT_EQ(plans.Find(RecipeOf("raw"), AttentionShape(), 0), nullptr);
  KvShape state;
  state.kind = GroupKind::kState;
  state.layers = 2;
  state.unit_bytes = 4096;
  EXPECT_EQ(plans.Find(RecipeOf("fp8"), state, 0), nullptr);
}

TEST(DevicePlansTest, KeepsTheLastUsed) {
  DevicePlans plans;
  const KvShape shape = AttentionShape();
  const auto first = plans.Find(RecipeOf("fp8"), shape, 64);
  const std::weak_ptr<const PlannedBlock> second = plans.Find(RecipeOf("fp8"), shape, 128);
  for (uint64_t i = 0; i < DevicePlans::kPlansMax - 1; ++i) {
    plans.Find(RecipeOf("fp8"), shape, 1000 + i);
    EXPECT_EQ(plans.Find(RecipeOf("fp8"), shape, 64), first);
  }
  EXPECT_TRUE(second.expired());
}

TEST(DevicePlansTest, ReadsWhatAnEncoderPlaced) {
  DevicePlans plans;
  const auto planned = plans.Find(RecipeOf("lossless"), AttentionShape(), 0);
  std::vector<PlacedStream> placed(planned->codecs.size());
  placed[1] = {64, 100, 1, 0};
  placed.back() = {640, 65, 0, 0};
  const auto streams = StreamsOf(*planned, placed);
  ASSERT_EQ(streams.size(), placed.size());
  EXPECT_EQ(streams[0].codec, planned->codecs[0]);
  EXPECT_EQ(streams[1].codec.id, CodecId::kRaw);
  EXPECT_EQ(streams[1].bytes, 100u);
  EXPECT_EQ(PayloadBytes(placed), 640u + 128);
}

}  // namespace
}  // namespace larder::server
