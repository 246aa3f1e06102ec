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

struct Reserves {
  std::optional<uint64_t> dram, ssd;
};

// Sets what "quota_bytes:SIZE", or another limit, says; false when it is none of them, or comes again.
bool SetLimit(absl::string_view text, TenantBudget& budget, Reserves& reserves) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  const auto bytes = ParseBytes({parts.second.data(), parts.second.size()});
  if (!bytes.has_value()) return false;
  std::optional<uint64_t>* limit = nullptr;
  if (parts.first == "quota_bytes") limit = &budget.quota_bytes;
  if (parts.first == "reserve_bytes") limit = &reserves.dram;
  if (parts.first == "ssd_quota_bytes") limit = &budget.ssd_quota_bytes;
  if (parts.first == "ssd_reserve_bytes") limit = &reserves.ssd;
  if (limit == nullptr || limit->has_value()) return false;
  *limit = *bytes;
  return true;
}

std::string FormatTenant(const TenantBudget& budget) {
  std::vector<std::string> limits;
  const auto add = [&](absl::string_view name, uint64_t bytes) {
    limits.push_back(absl::StrCat(name, ":", FormatBytes(bytes)));
  };
  if (budget.quota_bytes) add("quota_bytes", *budget.quota_bytes);
  if (budget.reserve_bytes > 0) add("reserve_bytes", budget.reserve_bytes);
  if (budget.ssd_quota_bytes) add("ssd_quota_bytes", *budget.ssd_quota_bytes);
  if (budget.ssd_reserve_bytes > 0) add("ssd_reserve_bytes", budget.ssd_reserve_bytes);
  if (limits.empty()) add("reserve_bytes", 0);
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
  const auto in_range = [](uint64_t bytes, uint64_t bytes_max) {
    return bytes >= kTenantBytesMin && bytes <= bytes_max;
  };
  // A reserve of 0 is none.
  return IsTenant(budget.tenant) &&
         in_range(budget.quota_bytes.value_or(kTenantBytesMin), kDramBytesMax) &&
         in_range(budget.reserve_bytes > 0 ? budget.reserve_bytes : kTenantBytesMin,
                  kDramBytesMax) &&
         in_range(budget.ssd_quota_bytes.value_or(kTenantBytesMin), kSsdBytesMax) &&
         in_range(budget.ssd_reserve_bytes > 0 ? budget.ssd_reserve_bytes : kTenantBytesMin,
                  kSsdBytesMax);
}

}  // namespace

std::optional<std::vector<TenantBudget>> ParseTenants(std::string_view text) {
  std::vector<TenantBudget> tenants;
  if (text.empty()) return tenants;
  for (const auto part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    const size_t equals = part.find('=');
    if (equals == part.npos || equals == 0) return std::nullopt;
    TenantBudget budget{.tenant = std::string(part.substr(0, equals))};
    Reserves reserves;
    for (const auto limit : absl::StrSplit(part.substr(equals + 1), '+')) {
      if (!SetLimit(limit, budget, reserves)) return std::nullopt;
    }
    budget.reserve_bytes = reserves.dram.value_or(0);
    budget.ssd_reserve_bytes = reserves.ssd.value_or(0);
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
          .placeholder = "NAME=quota_bytes:SIZE+reserve_bytes:SIZE+ssd_quota_bytes:SIZE+"
                         "ssd_reserve_bytes:SIZE,...",
          .help = "Most that a tenant may hold, and what no other may take from it, in DRAM and of "
                  "blocks on SSD alone",
          .expected = absl::StrCat(
              "at most ", kTenantsMax, " tenants, each once, with a quota, a reserve or both from ",
              FormatBytes(kTenantBytesMin), " to ", FormatBytes(kDramBytesMax),
              ", those of SSD to ", FormatBytes(kSsdBytesMax)),
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
  uint64_t reserved = 0, ssd_reserved = 0;
  for (const TenantBudget& budget : config.tenants) {
    if (!InRange(budget)) return;  // reported already; and the sums below can not overflow
    reserved += budget.reserve_bytes;
    ssd_reserved += budget.ssd_reserve_bytes;
    if (budget.reserve_bytes > budget.quota_bytes.value_or(UINT64_MAX) ||
        budget.ssd_reserve_bytes > budget.ssd_quota_bytes.value_or(UINT64_MAX)) {
      faults.push_back(Fault("tenants", FormatTenant(budget), "a reserve within the quota",
                             "lower the reserve or raise the quota"));
    }
    if (config.ssd_path.empty() && (budget.ssd_quota_bytes || budget.ssd_reserve_bytes > 0)) {
      faults.push_back(Fault("tenants", FormatTenant(budget),
                             "no ssd_quota_bytes or ssd_reserve_bytes without an SSD tier",
                             "set ssd_path, or leave these limits out"));
    }
  }
  if (reserved > config.dram_bytes) {
    faults.push_back(
        Fault("tenants", absl::StrCat(FormatBytes(reserved), " of reserves"),
              absl::StrCat("at most dram_bytes (", FormatBytes(config.dram_bytes), ")"),
              "lower the reserves or raise dram_bytes"));
  }
  const uint64_t room = SsdRoomBytes(config.ssd_bytes);
  if (!config.ssd_path.empty() && ssd_reserved > room) {
    faults.push_back(Fault("tenants", absl::StrCat(FormatBytes(ssd_reserved), " of SSD reserves"),
                           absl::StrCat("at most ", FormatBytes(room),
                                        ", ssd_bytes less the quarter that stays free"),
                           "lower the SSD reserves or raise ssd_bytes"));
  }
}

}  // namespace larder::server
