// The tenants field: text in, text out, ranges.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/config_fields.h"

namespace larder::server {
namespace {

// Sets what "quota_bytes:SIZE" or "reserve_bytes:SIZE" says; false when it says neither, or again.
bool SetLimit(absl::string_view text, TenantBudget& budget, std::optional<uint64_t>& reserve) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  const auto bytes = ParseBytes({parts.second.data(), parts.second.size()});
  if (!bytes.has_value()) return false;
  std::optional<uint64_t>* limit = nullptr;
  if (parts.first == "quota_bytes") limit = &budget.quota_bytes;
  if (parts.first == "reserve_bytes") limit = &reserve;
  if (limit == nullptr || limit->has_value()) return false;
  *limit = *bytes;
  return true;
}

std::string FormatTenant(const TenantBudget& budget) {
  std::vector<std::string> limits;
  if (budget.quota_bytes) {
    limits.push_back(absl::StrCat("quota_bytes:", FormatBytes(*budget.quota_bytes)));
  }
  if (budget.reserve_bytes > 0 || limits.empty()) {
    limits.push_back(absl::StrCat("reserve_bytes:", FormatBytes(budget.reserve_bytes)));
  }
  return absl::StrCat(budget.tenant, "=", absl::StrJoin(limits, "+"));
}

std::string FormatTenants(const Config& config) {
  std::vector<std::string> tenants;
  for (const TenantBudget& budget : config.tenants) tenants.push_back(FormatTenant(budget));
  return absl::StrJoin(tenants, ",");
}

bool IsTenant(std::string_view name) {
  return !name.empty() && name.size() <= kTenantBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

bool InRange(const TenantBudget& budget) {
  const auto in_range = [](uint64_t bytes) {
    return bytes >= kTenantBytesMin && bytes <= kDramBytesMax;
  };
  return IsTenant(budget.tenant) && (!budget.quota_bytes || in_range(*budget.quota_bytes)) &&
         (budget.reserve_bytes == 0 || in_range(budget.reserve_bytes));
}

}  // namespace

std::optional<std::vector<TenantBudget>> ParseTenants(std::string_view text) {
  std::vector<TenantBudget> tenants;
  if (text.empty()) return tenants;
  for (const auto part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    const size_t equals = part.find('=');
    if (equals == part.npos || equals == 0) return std::nullopt;
    TenantBudget budget{.tenant = std::string(part.substr(0, equals))};
    std::optional<uint64_t> reserve;
    for (const auto limit : absl::StrSplit(part.substr(equals + 1), '+')) {
      if (!SetLimit(limit, budget, reserve)) return std::nullopt;
    }
    budget.reserve_bytes = reserve.value_or(0);
    const bool again = std::any_of(tenants.begin(), tenants.end(), [&](const auto& other) {
      return other.tenant == budget.tenant;
    });
    if (again) return std::nullopt;
    tenants.push_back(std::move(budget));
  }
  return tenants;
}

ConfigField TenantsField() {
  return {.name = "tenants",
          .placeholder = "NAME=quota_bytes:SIZE+reserve_bytes:SIZE,...",
          .help = "Most that a tenant may hold, and what no other may take from it",
          .expected = absl::StrCat(
              "at most ", kTenantsMax, " tenants, each once, with a quota, a reserve or both from ",
              FormatBytes(kTenantBytesMin), " to ", FormatBytes(kDramBytesMax)),
          .advice =
              "write NAME=quota_bytes:4GiB+reserve_bytes:1GiB, or in the file a map of NAME: "
              "{quota_bytes: 4GiB, reserve_bytes: 1GiB}",
          .parse =
              [](std::string_view text, Config& config) {
                auto tenants = ParseTenants(text);
                if (tenants.has_value()) config.tenants = *std::move(tenants);
                return tenants.has_value();
              },
          .format = FormatTenants,
          .in_range =
              [](const Config& config) {
                return config.tenants.size() <= kTenantsMax &&
                       std::all_of(config.tenants.begin(), config.tenants.end(), InRange);
              },
          .nested = true};
}

void CheckTenants(const Config& config, Faults& faults) {
  uint64_t reserved = 0;
  for (const TenantBudget& budget : config.tenants) {
    if (!InRange(budget)) return;  // reported already; and the sum below can not overflow
    reserved += budget.reserve_bytes;
    if (budget.reserve_bytes > budget.quota_bytes.value_or(UINT64_MAX)) {
      faults.push_back(Fault("tenants", FormatTenant(budget), "a reserve within the quota",
                             "lower the reserve or raise the quota"));
    }
  }
  if (reserved > config.dram_bytes) {
    faults.push_back(
        Fault("tenants", absl::StrCat(FormatBytes(reserved), " of reserves"),
              absl::StrCat("at most dram_bytes (", FormatBytes(config.dram_bytes), ")"),
              "lower the reserves or raise dram_bytes"));
  }
}

}  // namespace larder::server
