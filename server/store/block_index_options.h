// What a block index is made of, and what its blocks make room for.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "proto/contract/limits.h"
#include "server/policy/tenant_order.h"
#include "server/store/residency.h"

namespace larder::server {

// What room is made for.
struct Newcomer {
  AccountRef account = kSharedAccount;
  uint8_t priority = kPriorityMax;
  uint64_t frame_bytes = 0;
};

// What a copy on SSD is given up for.
struct SsdNeed {
  AccountRef account = kSharedAccount;
  uint8_t priority = kPriorityMax;
  uint64_t frame_bytes = 0;
  bool wanted_now = false;  // its owner waits
  bool of_disk = false;     // there is less of it: no reserve can be kept
};

struct BlockIndexOptions {
  bool with_ssd = false;
  bool with_hbm = false;
  // Tenants with quotas or reserves (accounts 1, 2, ...), in memory and on SSD (as many, or none), and whose a
  // space is.
  std::vector<TenantLimits> limits;
  std::vector<TenantLimits> ssd_limits;
  std::function<AccountRef(SpaceSlot)> account_of = [](SpaceSlot) { return kSharedAccount; };
};

}  // namespace larder::server
