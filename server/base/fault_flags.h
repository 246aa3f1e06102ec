// The flags that only larderd_faults has: --fault-plan PLAN, --fault-board FILE, --planted-bug NAME.
// Taken off the command line before the configuration sees it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::server {

// Sets up the fault points of this process as the flags say, and returns the other arguments, in order,
// the program's name first. INVALID_ARGUMENT for a plan, a bug or a file that is wrong. Call once, before any
// other thread starts.
absl::StatusOr<std::vector<const char*>> TakeFaultFlags(int argc, char** argv);

}  // namespace larder::server
