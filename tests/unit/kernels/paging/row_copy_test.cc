#include "kernels/paging/row_copy.h"

#include <gtest/gtest.h>

#include "tests/gpu/copy_check.h"
#include "tests/gpu/host_machine.h"

namespace larder {
namespace {

TEST(RowCopyTest, MovesEveryRowBetweenEveryPairOfLayouts) {
  HostMachine machine;
  EXPECT_EQ(CheckCopies(machine), "");
}

TEST(RowCopyTest, HoldsOnlyWithCountsPointersAndAlignment) {
  alignas(16) static uint8_t memory[64];
  const auto holds = [](auto change) {
    RowCopy copy;
    copy.from.base = copy.to.base = memory;
    copy.blocks = copy.streams = copy.heads = copy.tokens = 1;
    copy.row_bytes = 32;
    change(copy);
    return RowCopyHolds(copy);
  };
  EXPECT_TRUE(holds([](RowCopy&) {}));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.row_bytes = 24; }));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.row_bytes = 0; }));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.tokens = 0; }));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.blocks = 0; }));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.from.base = nullptr; }));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.to.base += 8; }));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.to.page_stride = 40; }));
  EXPECT_FALSE(holds([](RowCopy& copy) { copy.from.page_tokens = 0; }));
  EXPECT_FALSE(holds([](RowCopy& copy) {
    copy.heads = 1u << 20;
    copy.tokens = 1u << 12;
  }));
}

}  // namespace
}  // namespace larder
