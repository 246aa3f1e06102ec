// Names and fills of tiers, for metrics and everything above. What a tier does is in tier/tier.h.
#pragma once

#include <cstdint>

namespace larder::server {

enum class TierKind : uint8_t { kHbm = 1, kDram = 2, kSsd = 3 };

struct TierUsage {
  uint64_t budget_bytes = 0;
  uint64_t used_bytes = 0;  // slabs, rounded to granules
  uint64_t slabs = 0;
};

}  // namespace larder::server
