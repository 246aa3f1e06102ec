#include "client/cli/quantity.h"

#include <gtest/gtest.h>

namespace larder::cli {
namespace {

TEST(QuantityTest, FormatsCounts) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1'000), "1,000");
  EXPECT_EQ(FormatCount(182'790), "182,790");
  EXPECT_EQ(FormatCount(~uint64_t{0}), "18,446,744,073,709,551,615");
}

TEST(QuantityTest, FormatsBytes) {
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(32768), "32.0 KiB");
  EXPECT_EQ(FormatBytes(uint64_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(FormatBytesPerSecond(3.65e9), "3.65 GB/s");
  EXPECT_EQ(FormatBytesPerSecond(12.34e6), "12.3 MB/s");
}

TEST(QuantityTest, FormatsShares) {
  EXPECT_EQ(FormatPercent(105'710, 288'500), "36.64 %");
  EXPECT_EQ(FormatPercent(0, 0), "-");
}

TEST(QuantityTest, FormatsDurations) {
  EXPECT_EQ(FormatSeconds(431e-6), "431 us");
  EXPECT_EQ(FormatSeconds(0.00231), "2.31 ms");
  EXPECT_EQ(FormatSeconds(17.25), "17.2 s");
  EXPECT_EQ(FormatSeconds(605), "10 min 05 s");
  EXPECT_EQ(FormatSeconds(3720), "1 h 02 min");
}

}  // namespace
}  // namespace larder::cli
