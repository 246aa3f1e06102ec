// Tenants with a quota or a reserve, numbered for the eviction order. All others share an account
// without limits. Fixed at start-up: the configuration names them. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/config.h"
#include "server/policy/tenant_order.h"

namespace larder::server {

class TenantAccounts {
 public:
  explicit TenantAccounts(const Config& config);

  AccountRef Of(std::string_view tenant) const;
  // Of accounts 1, 2, ...: what TenantOrder takes.
  const std::vector<TenantLimits>& limits() const { return limits_; }
  // The same of the SSD tier.
  const std::vector<TenantLimits>& ssd_limits() const { return ssd_limits_; }
  // By account; the shared one is "*", which no tenant is called.
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::vector<TenantLimits> limits_;
  std::vector<TenantLimits> ssd_limits_;
  absl::flat_hash_map<std::string, AccountRef> accounts_;
};

}  // namespace larder::server
