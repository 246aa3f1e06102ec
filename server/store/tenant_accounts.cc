#include "server/store/tenant_accounts.h"

#include "absl/strings/string_view.h"

namespace larder::server {

TenantAccounts::TenantAccounts(const Config& config) : names_({"*"}) {
  for (const TenantBudget& budget : config.tenants) {
    accounts_[budget.tenant] = static_cast<AccountRef>(names_.size());
    names_.push_back(budget.tenant);
    limits_.push_back({.quota_bytes = budget.quota_bytes.value_or(kNoQuota),
                       .reserve_bytes = budget.reserve_bytes});
    ssd_limits_.push_back({.quota_bytes = budget.ssd_quota_bytes.value_or(kNoQuota),
                           .reserve_bytes = budget.ssd_reserve_bytes});
  }
}

AccountRef TenantAccounts::Of(std::string_view tenant) const {
  const auto found = accounts_.find(absl::string_view(tenant.data(), tenant.size()));
  return found == accounts_.end() ? kSharedAccount : found->second;
}

}  // namespace larder::server
