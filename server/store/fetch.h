// The Get verb: pins a block's frame so that the transport can read it in place.
#pragma once

#include <span>
#include <variant>

#include "server/base/clock.h"
#include "server/store/block_store.h"

namespace larder::server {

// Thread-safe.
class Fetch {
 public:
  struct Options {
    Fidelity fidelity_min = Fidelity::kUnspecified;
    // Verify before answering and quarantine a damaged frame. The receiver verifies in any case.
    bool verify = false;
  };

  Fetch(BlockStore& blocks, Metrics& metrics) : blocks_(blocks), metrics_(metrics) {}

  // A readable frame, or why it is a miss. Counts either.
  std::variant<PinnedFrame, MissReason> Run(const SpaceEntry& space, const PrefixHash& hash,
                                            const Options& options);
  // A miss decided by the caller (deadline, draining).
  void CountMiss(MissReason reason) { metrics_.CountGetMiss(reason); }

 private:
  BlockStore& blocks_;
  Metrics& metrics_;
};

}  // namespace larder::server
