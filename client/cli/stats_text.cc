#include "client/cli/stats_text.h"

#include <map>

#include "absl/strings/str_format.h"
#include "client/cli/manifest_file.h"
#include "client/cli/quantity.h"
#include "client/cli/table.h"

namespace larder::cli {
namespace {

const char* TierName(v1::Tier tier) {
  switch (tier) {
    case v1::TIER_HBM:
      return "hbm";
    case v1::TIER_DRAM:
      return "dram";
    case v1::TIER_SSD:
      return "ssd";
    default:
      return "unknown";
  }
}

std::string TenantsTable(const v1::StatsResponse& stats) {
  Table tenants({{"tenant"},
                 {"used", Align::kRight},
                 {"quota", Align::kRight},
                 {"reserve", Align::kRight},
                 {"ssd used", Align::kRight},
                 {"ssd quota", Align::kRight},
                 {"ssd reserve", Align::kRight},
                 {"evicted blocks", Align::kRight},
                 {"no room", Align::kRight}});
  for (const v1::TenantStats& tenant : stats.tenants()) {
    tenants.AddRow({tenant.tenant(), FormatBytes(tenant.used_bytes()),
                    tenant.has_quota_bytes() ? FormatBytes(tenant.quota_bytes()) : "-",
                    tenant.reserve_bytes() > 0 ? FormatBytes(tenant.reserve_bytes()) : "-",
                    FormatBytes(tenant.ssd_used_bytes()),
                    tenant.has_ssd_quota_bytes() ? FormatBytes(tenant.ssd_quota_bytes()) : "-",
                    tenant.ssd_reserve_bytes() > 0 ? FormatBytes(tenant.ssd_reserve_bytes()) : "-",
                    FormatCount(tenant.evicted_blocks()), FormatCount(tenant.no_room_blocks())});
  }
  return tenants.ToString();
}

double RateOf(uint64_t before, uint64_t now, double seconds) {
  return now < before || seconds <= 0 ? 0 : static_cast<double>(now - before) / seconds;
}

// What only the SSD tier has.
std::string SsdText(const v1::TierStats& ssd) {
  const std::string budget =
      ssd.has_write_budget_left_bytes()
          ? ", " + FormatBytes(ssd.write_budget_left_bytes()) + " of the day's budget left"
          : "";
  const std::string restored = FormatCount(ssd.restored_blocks()) + " blocks restored";
  return absl::StrFormat(
      "ssd: %s, %s; %s written today (%.3f bytes per byte kept)%s; %s blocks wait to be written, "
      "%s were overtaken; scrubbed %s of the pass, %s damaged frames\n",
      ssd.health(), restored, FormatBytes(ssd.bytes_written_today()), ssd.write_amplification(),
      budget, FormatCount(ssd.moves_waiting()), FormatCount(ssd.overtaken_blocks()),
      FormatPercent(ssd.scrubbed_bytes(), ssd.scrub_bytes_to_do()),
      FormatCount(ssd.damaged_frames()));
}

}  // namespace

std::string StatsText(const v1::StatsResponse& stats) {
  std::string text =
      "larderd " + stats.server_version() + ", up " + FormatSeconds(stats.uptime_seconds()) +
      (stats.draining() ? ", DRAINING" : "") + ", " + FormatSeconds(stats.process_cpu_seconds()) +
      " CPU, " + FormatBytes(stats.resident_memory_bytes()) + " resident memory\n\n";

  Table tiers({{"tier"},
               {"blocks", Align::kRight},
               {"used", Align::kRight},
               {"budget", Align::kRight},
               {"fill", Align::kRight},
               {"hit tokens", Align::kRight},
               {"moved in", Align::kRight},
               {"skipped", Align::kRight}});
  for (const v1::TierStats& tier : stats.tiers()) {
    tiers.AddRow({TierName(tier.tier()), FormatCount(tier.blocks()), FormatBytes(tier.used_bytes()),
                  FormatBytes(tier.budget_bytes()),
                  FormatPercent(tier.used_bytes(), tier.budget_bytes()),
                  FormatCount(tier.hit_tokens()), FormatCount(tier.moved_in_blocks()),
                  FormatCount(tier.moves_skipped())});
  }
  text += tiers.ToString() + "\n";
  for (const v1::TierStats& tier : stats.tiers()) {
    if (tier.tier() == v1::TIER_SSD) text += SsdText(tier) + "\n";
  }

  Table spaces({{"space"},
                {"tenant"},
                {"model"},
                {"group"},
                {"blocks", Align::kRight},
                {"stored", Align::kRight},
                {"raw", Align::kRight},
                {"lookup tokens", Align::kRight},
                {"token hit rate", Align::kRight}});
  for (const v1::SpaceStats& space : stats.spaces()) {
    spaces.AddRow({FormatSpaceId(space.id()), space.tenant(), space.model(), space.group(),
                   FormatCount(space.blocks()), FormatBytes(space.stored_bytes()),
                   FormatBytes(space.raw_bytes()), FormatCount(space.lookup_tokens()),
                   FormatPercent(space.hit_tokens(), space.lookup_tokens())});
  }
  text += spaces.ToString() + "\n";
  if (stats.tenants_size() > 0) text += TenantsTable(stats) + "\n";

  Table counters({{""}, {"", Align::kRight}, {""}, {"", Align::kRight}});
  const auto count = [](uint64_t value) { return FormatCount(value); };
  counters.AddRow({"stored blocks", count(stats.stored_blocks()), "leases", count(stats.leases())});
  counters.AddRow({"evicted blocks", count(stats.evicted_blocks()), "pinned blocks",
                   count(stats.pinned_blocks())});
  counters.AddRow(
      {"expired blocks", count(stats.expired_blocks()), "put streams", count(stats.put_streams())});
  counters.AddRow({"conflict blocks", count(stats.conflict_blocks()), "get streams",
                   count(stats.get_streams())});
  counters.AddRow({"quarantined blocks", count(stats.quarantined_blocks()), "ingest in flight",
                   FormatBytes(stats.ingest_bytes_in_flight())});
  return text + counters.ToString();
}

std::string RatesText(const v1::StatsResponse& before, const v1::StatsResponse& now,
                      double seconds) {
  std::map<uint64_t, const v1::SpaceStats*> spaces_before;
  for (const v1::SpaceStats& space : before.spaces()) spaces_before[space.id()] = &space;
  double lookups = 0;
  double hits = 0;
  for (const v1::SpaceStats& space : now.spaces()) {
    const auto found = spaces_before.find(space.id());
    const v1::SpaceStats& was =
        found == spaces_before.end() ? v1::SpaceStats::default_instance() : *found->second;
    lookups += RateOf(was.lookup_tokens(), space.lookup_tokens(), seconds);
    hits += RateOf(was.hit_tokens(), space.hit_tokens(), seconds);
  }
  const double cpu = now.process_cpu_seconds() - before.process_cpu_seconds();
  return absl::StrFormat(
      "%s lookup tokens/s, token hit rate %s; blocks/s: %.1f stored, %.1f evicted, %.1f expired; "
      "%.2f cores\n",
      FormatCount(static_cast<uint64_t>(lookups)), FormatPercent(hits, lookups),
      RateOf(before.stored_blocks(), now.stored_blocks(), seconds),
      RateOf(before.evicted_blocks(), now.evicted_blocks(), seconds),
      RateOf(before.expired_blocks(), now.expired_blocks(), seconds),
      seconds > 0 && cpu > 0 ? cpu / seconds : 0);
}

}  // namespace larder::cli
