// What the block index says of a block: where its frame lies, how long it is kept, and why it left.
// Values.
#pragma once

#include <cstdint>

#include "kernels/format/kv_layout.h"
#include "proto/contract/limits.h"
#include "proto/contract/outcomes.h"
#include "server/base/tier_usage.h"
#include "server/memory/slab_allocator.h"
#include "server/policy/eviction_order.h"
#include "server/ssd/ssd_record.h"
#include "server/store/fingerprint.h"

namespace larder::server {

// Time in units of 100 ms since the server started: 13 years in 32 bits. 0 means "never" where a
// field is optional.
using Tick = uint32_t;

// Registered space, dense (SpaceTable).
using SpaceSlot = uint16_t;

// Where a block's frame lies and what it is: its fastest copy. On SSD when there is no slab.
struct Residency {
  SlabRef slab = kNoSlab;  // of the tier that tier() names
  uint32_t frame_bytes = 0;
  uint8_t codec_id = 0;
  Fidelity fidelity = Fidelity::kUnspecified;
  bool in_hbm = false;

  bool in_memory() const { return slab != kNoSlab && !in_hbm; }
  TierKind tier() const {
    if (in_hbm) return TierKind::kHbm;
    return in_memory() ? TierKind::kDram : TierKind::kSsd;
  }
};

// A block's copy on SSD. 24 bytes.
struct SsdCopy {
  SsdLocation location;
  uint32_t origin_tag = 0;  // of the raw bytes that the frame stands for; 0: not known
  uint8_t codec_id = 0;
  uint8_t fidelity = 0;
  uint16_t rooted_in = 0;  // the index's: in which of its epochs the way up was found to be on SSD
};
static_assert(sizeof(SsdCopy) == 24);

struct RetentionTicks {
  uint8_t priority = kPriorityDefault;
  Tick priority_until = 0;
  Tick expires_at = 0;

  bool operator==(const RetentionTicks&) const = default;
};

// A block that has left the index, or (`stays`) one that lost a copy: the slab and the location that
// are named are the caller's to free.
struct Removed {
  BlockRef block = kNoBlock;
  Residency residency;
  SpaceSlot space = 0;
  uint8_t priority = 0;
  MissReason reason = MissReason::kEvicted;
  bool by_pressure = false;
  bool stays = false;
  bool overtaken = false;  // it waited to be written to SSD
  bool lost = false;       // with the device whose memory held it
  Fingerprint key{};
  SsdLocation ssd{};
};

}  // namespace larder::server
