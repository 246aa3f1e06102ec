#include "proto/contract/outcomes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace larder {
namespace {

bool IsMetricLabel(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

TEST(MissReasonNameTest, NamesEveryReasonOnce) {
  std::set<std::string_view> names;
  for (int i = 0; i < kMissReasons; ++i) names.insert(MissReasonName(static_cast<MissReason>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kMissReasons));
  for (const std::string_view name : names) EXPECT_TRUE(IsMetricLabel(name)) << name;
  EXPECT_EQ(names.count("unknown"), 0u);
  EXPECT_EQ(MissReasonName(MissReason::kNeverSeen), "never_seen");
  EXPECT_EQ(MissReasonName(MissReason::kOverDeadline), "over_deadline");
}

TEST(MissReasonNameTest, IsUnknownOutsideTheEnum) {
  EXPECT_EQ(MissReasonName(static_cast<MissReason>(kMissReasons)), "unknown");
  EXPECT_EQ(MissReasonName(static_cast<MissReason>(255)), "unknown");
}

TEST(PutOutcomeNameTest, NamesEveryOutcomeOnce) {
  std::set<std::string_view> names;
  for (int i = 0; i < kPutOutcomes; ++i) names.insert(PutOutcomeName(static_cast<PutOutcome>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kPutOutcomes));
  for (const std::string_view name : names) EXPECT_TRUE(IsMetricLabel(name)) << name;
  EXPECT_EQ(names.count("unknown"), 0u);
  EXPECT_EQ(PutOutcomeName(PutOutcome::kAlreadyPresent), "already_present");
}

TEST(PutOutcomeNameTest, IsUnknownOutsideTheEnum) {
  EXPECT_EQ(PutOutcomeName(static_cast<PutOutcome>(kPutOutcomes)), "unknown");
  EXPECT_EQ(PutOutcomeName(static_cast<PutOutcome>(255)), "unknown");
}

}  // namespace
}  // namespace larder
