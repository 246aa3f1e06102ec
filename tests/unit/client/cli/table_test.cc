#include "client/cli/table.h"

#include <gtest/gtest.h>

namespace larder::cli {
namespace {

TEST(TableTest, AlignsColumnsWithoutTrailingBlanks) {
  Table table({{"tier"}, {"used", Align::kRight}, {"note"}});
  table.AddRow({"dram", "1.0 GiB", "x"});
  table.AddRow({"ssd", "7 B"});
  EXPECT_EQ(table.ToString(),
            "tier     used  note\n"
            "dram  1.0 GiB  x\n"
            "ssd       7 B\n");
}

TEST(TableTest, LeavesOutAnEmptyHeader) {
  Table table({{""}, {""}});
  table.AddRow({"a", "b"});
  EXPECT_EQ(table.ToString(), "a  b\n");
}

}  // namespace
}  // namespace larder::cli
