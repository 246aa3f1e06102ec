// The flags that only larderd_faults has: --fault-plan PLAN, --fault-board FILE, --planted-bug NAME, --hbm-fake.
// Taken off the command line before the configuration sees it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::server {

struct OtherFlags {
  std::vector<const char*> arguments;  // in order, the program's name first
  bool hbm_fake = false;               // the HBM tier lies in host memory
};

// Sets up the fault points of this process as the flags say, and returns the rest. INVALID_ARGUMENT for a plan, a bug
// or a file that is wrong. Call once, before any other thread starts.
absl::StatusOr<OtherFlags> TakeFaultFlags(int argc, char** argv);

}  // namespace larder::server
