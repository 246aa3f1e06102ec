// A server's counters as tables, for `larder stats` and `larder top`. Pure functions.
#pragma once

#include <string>

#include "larder/v1/admin.pb.h"

namespace larder::cli {

std::string StatsText(const v1::StatsResponse& stats);

// What happened between two moments `seconds` apart, as rates. Counters that went back (a restart)
// show as zero.
std::string RatesText(const v1::StatsResponse& before, const v1::StatsResponse& now,
                      double seconds);

}  // namespace larder::cli
