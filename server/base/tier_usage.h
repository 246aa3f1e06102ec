// Names and fills of tiers, for metrics and everything above. What a tier does is in tier/tier.h.
#pragma once

#include <cstdint>

namespace larder::server {

enum class TierKind : uint8_t { kHbm = 1, kDram = 2, kSsd = 3 };

inline constexpr int kTiers = 3;

// Tokens by the tier they were found in.
struct TierTokens {
  uint64_t tokens[kTiers] = {};
  uint64_t& operator[](TierKind tier) { return tokens[static_cast<int>(tier) - 1]; }
  uint64_t sum() const { return tokens[0] + tokens[1] + tokens[2]; }
};

struct TierUsage {
  uint64_t budget_bytes = 0;
  uint64_t used_bytes = 0;  // slabs, rounded to granules
  uint64_t slabs = 0;
};

// The HBM tier and what moves between it and memory; counted since the start.
struct HbmSample {
  TierUsage usage;
  uint64_t moved_blocks = 0;    // to HBM
  uint64_t brought_blocks = 0;  // back to memory
  uint64_t dropped_blocks = 0;  // copies in HBM given up, the block staying on SSD
  uint64_t skipped_blocks = 0;  // used while they moved, or the copy failed
  uint64_t failed_reads = 0;
  uint64_t damaged_frames = 0;
  bool lost = false;  // the device
};

// The SSD tier and what moves between it and memory; counted since the start.
struct SsdSample {
  TierUsage usage;
  uint64_t payload_bytes_written = 0;  // frames that were sent there
  uint64_t moved_bytes_written = 0;    // frames that reclaim kept
  uint64_t catalog_bytes_written = 0;
  uint64_t bytes_written = 0;  // all of it, headers and padding too
  uint64_t scrubbed_bytes = 0;         // of the pass under way
  uint64_t damaged_frames = 0;
  uint64_t written_blocks = 0;
  uint64_t promoted_blocks = 0;
  uint64_t dropped_blocks = 0;    // memory copies given up, the block staying on SSD
  uint64_t overtaken_blocks = 0;  // evicted before they were written
  uint64_t recoded_blocks = 0;    // of those written: in another form than in memory
  uint64_t refused_blocks = 0;    // not written: no room, or the device failed
  uint64_t waiting_blocks = 0;
  uint8_t health = 0;  // 0 works, 1 degraded, 2 offline
};

}  // namespace larder::server
