#include "server/base/planted_bug.h"

#include <atomic>

namespace larder::server {
namespace {

std::atomic<size_t> planted{kPlantedBugCount};

}  // namespace

bool PlantedBug(BugName bug) { return planted.load(std::memory_order_relaxed) == bug.index(); }

bool PlantBug(std::string_view name) {
  for (size_t i = 0; i < kPlantedBugCount; ++i) {
    if (kPlantedBugs[i] != name) continue;
    planted.store(i);
    return true;
  }
  return false;
}

}  // namespace larder::server
