// Named places of the data path where a test makes something go wrong: an error, a delay, a flipped
// bit, the end of the process.
//
//   if (FaultAt("slab.reserve") != 0) return std::nullopt;   // 0, or the errno that it shall meet
//   FaultBytes("ssd.read.bytes", buffer);                    // may flip one bit of what was read
//
// Names come from kFaultPoints; any other name does not compile. Without LARDER_FAULT_POINTS, which
// only the test server larderd_faults is built with, every call is a constant and leaves no code.
//
// Rules  Fault points stand in .cc files of the folders that larderd_faults compiles again
// (server/CMakeLists.txt), never in a header: then no type and no inline function differs between the two
// builds. A point whose action may be a delay does not stand under a lock. Thread-safe.
// Cost  with a board installed one atomic add per call, so a point may stand in a loop over blocks, not
// over bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace larder::server {

inline constexpr std::string_view kFaultPoints[] = {
    // put: the header is known; room is wanted; payload lands; a raw block is encoded; about to be
    // published, and just published; the batch's results are about to leave
    "put.header", "put.budget", "put.reserve", "put.land", "put.encode", "put.publish",
    "put.published", "put.finish",
    // memory of a tier is taken or given back; a block leaves the index
    "slab.reserve", "slab.free", "block.removed",
    // a block is pinned to be read; a lease is about to hold a chain; retention changes; an operator evicts
    "get.pin", "lookup.lease", "retain", "evict",
    // SSD: a read or a write has ended (bytes of a read may be flipped); a sync begins; a record is placed; a
    // segment is opened, reclaimed, given back; the file grows; names are committed; a start looks for records
    "ssd.read", "ssd.write", "ssd.sync", "ssd.place", "ssd.segment", "ssd.reclaim", "ssd.retire",
    "ssd.grow", "catalog.commit", "catalog.committed", "ssd.recover",
    // between the tiers: a copy to SSD begins, is encoded again, and has ended; a frame from SSD is read, and copied to
    // memory; a restart has found a block
    "migrate.write", "migrate.recode", "migrate.written", "get.ssd", "migrate.promote",
    "restore.block",
    // HBM: memory of the device is taken; a copy there begins, and has ended; one back has (its bytes may be flipped)
    "hbm.reserve", "hbm.fill", "hbm.filled", "hbm.read"};
inline constexpr size_t kFaultPointCount = std::size(kFaultPoints);

// A place of kFaultPoints.
class FaultPoint {
 public:
  consteval FaultPoint(const char* name)  // NOLINT: a literal is meant to convert
      : index_(IndexOf(name)) {}
  constexpr size_t index() const { return index_; }

 private:
  static consteval size_t IndexOf(std::string_view name) {
    size_t index = 0;
    while (kFaultPoints[index] != name) ++index;  // past the end: not a constant, so no build
    return index;
  }
  size_t index_;
};

#ifdef LARDER_FAULT_POINTS
// Counts that the point was reached and does what the plan says (fault_board.h): does not return,
// returns late, or returns the errno of an injected error. 0: nothing happened.
int FaultAt(FaultPoint point);
// As FaultAt, for bytes that the plan may damage. Returns an errno too.
int FaultBytes(FaultPoint point, std::span<std::byte> bytes);
#else
constexpr int FaultAt(FaultPoint) { return 0; }
constexpr int FaultBytes(FaultPoint, std::span<std::byte>) { return 0; }
#endif

}  // namespace larder::server
