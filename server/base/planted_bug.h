// Bugs that a test plants into larderd_faults, to prove that the crash harness notices them.
//
//   if (PlantedBug("lookup.no_pin")) return;   // what a wrong version of this code would do
//
// Only that program is built with LARDER_PLANTED_BUGS, and it has no bug unless --planted-bug names one.
// Elsewhere every call is the constant false. As fault points: in .cc files only; a name that is not in the
// list does not compile. Thread-safe.
#pragma once

#include <cstddef>
#include <string_view>

namespace larder::server {

inline constexpr std::string_view kPlantedBugs[] = {
    "key.without_space",          // two spaces share what has the same prefix hash
    "index.evict_pinned",         // pins and leases do not hold a block
    "lookup.lease_without_pins",  // a lease that holds nothing
    "put.conflict_ignored",       // other bytes under a stored key count as the same
    "index.evict_parent",         // a parent goes before its child
    "evict.keeps_blocks",         // an operator's removal does nothing
    "ssd.name_before_data",       // a write counts as done that never was
    "ssd.checksum_skipped",       // what is read from SSD is handed out unverified
    "ssd.commit_forgotten",       // names are not written to the catalog
    "ssd.ack_before_write",       // durable is acknowledged before anything is written
    "ssd.reclaim_drops_wanted",   // reclaim erases what its owner wants to keep
    "put.durable_unwaited",       // durable is acknowledged when the block is in memory
    "retain.expiry_ignored",      // a TTL never comes due
    "hbm.name_before_data",       // a copy to the device counts as done that never was
    "hbm.checksum_skipped",       // what is read from the device is handed out unverified
};
inline constexpr size_t kPlantedBugCount = std::size(kPlantedBugs);

class BugName {
 public:
  consteval BugName(const char* name)  // NOLINT: a literal is meant to convert
      : index_(IndexOf(name)) {}
  constexpr size_t index() const { return index_; }

 private:
  static consteval size_t IndexOf(std::string_view name) {
    size_t index = 0;
    while (kPlantedBugs[index] != name) ++index;
    return index;
  }
  size_t index_;
};

#ifdef LARDER_PLANTED_BUGS
bool PlantedBug(BugName bug);
// False when there is no bug of that name. Before the server starts.
bool PlantBug(std::string_view name);
#else
constexpr bool PlantedBug(BugName) { return false; }
#endif

}  // namespace larder::server
