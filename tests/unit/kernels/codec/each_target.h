// Runs a check once for each instruction set of this processor.
#pragma once

#include <gtest/gtest.h>

#include "hwy/highway.h"

namespace larder {

template <typename Check>
void ForEachTarget(Check check) {
  const int64_t supported = hwy::SupportedTargets();
  int ran = 0;
  for (int64_t left = supported; left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(hwy::TargetName(target));
    check();
    ++ran;
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  EXPECT_GT(ran, 0);
}

}  // namespace larder
