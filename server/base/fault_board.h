// What fault points shall do and how often they were reached: one cell per point, in memory that may be
// a file, so that it survives the process and a test can change the rules while the server runs.
//
// Plan  "seed=7;ssd.read=eio@0.01;put.publish=kill@n500;ssd.write=delay:20@every10". A rule is
// POINT=ACTION@WHEN; points without one only count. Actions:
//   kill          SIGKILL to the own process: no destructor, no flush
//   eio, enospc, fail    an error with that errno (fail: EAGAIN, "not now", for allocations and queues)
//   delay:MS      the calling thread sleeps, 1 to 60000 ms
//   flip          one bit of the bytes that the point passes; at a point without bytes it does nothing
// When: a probability 0 < p <= 1; nN, only the Nth time after the rule was set; everyN.
//
// Thread-safe, and safe between processes that map the same file: all state is in lock-free atomics.
// Determinism: for one thread the same seed gives the same faults.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/fault_point.h"

namespace larder::server {

class FaultBoard {
 public:
  // Maps the file, made when absent; memory of this process alone when `path` is empty. Counters of an
  // existing file go on. INVALID_ARGUMENT when it can not be mapped or another build wrote it.
  static absl::StatusOr<std::unique_ptr<FaultBoard>> Open(const std::string& path);
  ~FaultBoard();
  FaultBoard(const FaultBoard&) = delete;
  FaultBoard& operator=(const FaultBoard&) = delete;

  // Replaces every rule; counters stay. INVALID_ARGUMENT names the rule that is wrong, and then no
  // rule has changed.
  absl::Status SetPlan(std::string_view plan);

  // What FaultAt and FaultBytes do. `bytes` may be empty.
  int Reach(size_t point, std::span<std::byte> bytes);

  uint64_t reached(size_t point) const { return cells()[point].reached.load(); }
  uint64_t fired(size_t point) const { return cells()[point].fired.load(); }
  uint64_t kills(size_t point) const { return cells()[point].kills.load(); }

  // One line per point that was reached: name, reached, fired.
  std::string Report() const;

 private:
  struct Cell {
    std::atomic<uint64_t> rule;        // packed, 0: none
    std::atomic<uint64_t> since_rule;  // times reached since it was set
    std::atomic<uint64_t> reached;
    std::atomic<uint64_t> fired;
    std::atomic<uint64_t> kills;
  };
  struct Sheet {
    std::atomic<uint64_t> magic;  // of the list of points
    std::atomic<uint64_t> seed;
    std::array<Cell, kFaultPointCount> cells;
  };
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  explicit FaultBoard(Sheet* sheet) : sheet_(sheet) {}
  const std::array<Cell, kFaultPointCount>& cells() const { return sheet_->cells; }

  Sheet* const sheet_;  // mapped
};

// The board that the fault points of this process use; null: they only return. It must outlive every
// point, so in practice the process. The one global of the fault points: they stand in code that has
// no argument to carry it.
void InstallFaultBoard(FaultBoard* board);

}  // namespace larder::server
