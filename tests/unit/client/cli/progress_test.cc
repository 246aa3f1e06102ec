#include "client/cli/progress.h"

#include <gtest/gtest.h>

namespace larder::cli {
namespace {

TEST(ProgressTest, ShowsShareCountAndRemainingTime) {
  EXPECT_EQ(ProgressLine("replay", 6'000, 12'000, 41),
            "replay  [###############...............]  50 %  6,000/12,000  ETA 41.0 s");
}

TEST(ProgressTest, IsDefinedAtTheEnds) {
  EXPECT_EQ(ProgressLine("x", 0, 10, 0), "x  [" + std::string(30, '.') + "]  0 %  0/10");
  EXPECT_EQ(ProgressLine("x", 11, 10, 2),
            "x  [" + std::string(30, '#') + "]  100 %  10/10  ETA 0 us");
  EXPECT_EQ(ProgressLine("x", 0, 0, 0), "x  [" + std::string(30, '#') + "]  100 %  0/0");
}

}  // namespace
}  // namespace larder::cli
