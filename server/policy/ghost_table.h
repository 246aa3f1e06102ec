// Remembers the fingerprints of blocks that were evicted before they were used twice.
//
// A fixed table instead of the paper's queue: each fingerprint has one slot, and a newer one takes
// it over. With n slots a ghost survives n further evictions with probability 1/e (a queue: exactly
// n), so some are forgotten early and some late. The length of this memory is not critical:
// replaying the Mooncake conversation trace, half to 20 times as many ghosts as blocks differ by
// 0.2 points of hit rate at 5,000 blocks, 1.8 at 10,000 (more is better) and nothing at 50,000.
// Nothing else is approximate: a ghost is the whole 64-bit fingerprint, so a stranger is taken for
// one with probability 2^-64. Fingerprints must be well mixed.
//
// Thread-compatible. 8 bytes per slot, committed lazily; every call is O(1), one cache line.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/base/lazy_array.h"

namespace larder::server {

class GhostTable {
 public:
  // At most `ghosts_max` > 0 are remembered.
  explicit GhostTable(size_t ghosts_max) : ghosts_(ghosts_max) {}

  void Remember(uint64_t fingerprint) { SlotOf(fingerprint) = fingerprint; }

  // Whether it is remembered; forgets it.
  bool Take(uint64_t fingerprint) {
    uint64_t& ghost = SlotOf(fingerprint);
    if (ghost != fingerprint || fingerprint == kNone) return false;
    ghost = kNone;
    return true;
  }

 private:
  static constexpr uint64_t kNone = 0;  // a block of this fingerprint is never remembered

  // The high bits choose the slot: a multiplication scales them to the table without a division.
  uint64_t& SlotOf(uint64_t fingerprint) {
    return ghosts_[static_cast<size_t>(
        (static_cast<unsigned __int128>(fingerprint) * ghosts_.capacity()) >> 64)];
  }

  LazyArray<uint64_t> ghosts_;
};

}  // namespace larder::server
