#include "server/base/metrics_sampled.h"

#include <array>
#include <utility>

namespace larder::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

void AddTenants(const std::vector<TenantSample>& tenants, bool with_ssd, SampledFamilies& out) {
  using Values = std::vector<std::pair<std::string, double>>;
  Values used, quota, reserve, ssd_used, ssd_quota, ssd_reserve, evicted, no_room;
  for (const TenantSample& tenant : tenants) {
    used.emplace_back(tenant.tenant, tenant.used_bytes);
    if (tenant.quota_bytes) quota.emplace_back(tenant.tenant, *tenant.quota_bytes);
    if (tenant.reserve_bytes > 0) reserve.emplace_back(tenant.tenant, tenant.reserve_bytes);
    if (with_ssd) ssd_used.emplace_back(tenant.tenant, tenant.ssd_used_bytes);
    if (tenant.ssd_quota_bytes) ssd_quota.emplace_back(tenant.tenant, *tenant.ssd_quota_bytes);
    if (tenant.ssd_reserve_bytes > 0) {
      ssd_reserve.emplace_back(tenant.tenant, tenant.ssd_reserve_bytes);
    }
    evicted.emplace_back(tenant.tenant, tenant.evicted_blocks);
    no_room.emplace_back(tenant.tenant, tenant.no_room_blocks);
  }
  const auto add = [&](MetricType type, const char* name, const char* help, Values values) {
    if (!values.empty()) out.Add(type, name, help, std::move(values), "tenant");
  };
  add(MetricType::Gauge, "larder_tenant_used_bytes",
      "DRAM of the tenant's blocks; '*' is everybody without limits.", std::move(used));
  add(MetricType::Gauge, "larder_tenant_quota_bytes", "Bound of larder_tenant_used_bytes.",
      std::move(quota));
  add(MetricType::Gauge, "larder_tenant_reserve_bytes", "What no other tenant may take.",
      std::move(reserve));
  add(MetricType::Gauge, "larder_tenant_ssd_used_bytes",
      "SSD of the tenant's blocks that lie there alone.", std::move(ssd_used));
  add(MetricType::Gauge, "larder_tenant_ssd_quota_bytes", "Bound of larder_tenant_ssd_used_bytes.",
      std::move(ssd_quota));
  add(MetricType::Gauge, "larder_tenant_ssd_reserve_bytes",
      "What no other tenant may take of larder_tenant_ssd_used_bytes.", std::move(ssd_reserve));
  add(MetricType::Counter, "larder_tenant_evicted_blocks_total",
      "Blocks of the tenant that went because of pressure or its quota.", std::move(evicted));
  add(MetricType::Counter, "larder_tenant_no_room_blocks_total",
      "Blocks of the tenant's puts that nothing might be evicted for.", std::move(no_room));
}

void AddSsd(const SsdSample& ssd, SampledFamilies& out) {
  out.Add(MetricType::Counter, "larder_ssd_written_bytes_total",
          "Bytes written to SSD: frames that came, frames that reclaim kept, catalog, everything.",
          {{"payload", ssd.payload_bytes_written},
           {"moved", ssd.moved_bytes_written},
           {"catalog", ssd.catalog_bytes_written},
           {"all", ssd.bytes_written}},
          "kind");
  out.Add(MetricType::Counter, "larder_moved_blocks_total", "Blocks that moved, or could not.",
          {{"written", ssd.written_blocks},
           {"promoted", ssd.promoted_blocks},
           {"dropped", ssd.dropped_blocks},
           {"overtaken", ssd.overtaken_blocks},
           {"recoded", ssd.recoded_blocks},
           {"refused", ssd.refused_blocks}},
          "kind");
  out.Add(MetricType::Counter, "larder_ssd_damaged_frames_total", "Frames on SSD found damaged.",
          {{"", ssd.damaged_frames}});
  out.AddGauge("larder_ssd_scrubbed_bytes", "Verified in this pass.", ssd.scrubbed_bytes);
  out.AddGauge("larder_ssd_waiting_blocks", "Blocks that wait to be written.", ssd.waiting_blocks);
  out.AddGauge("larder_ssd_health", "0 works, 1 degraded, 2 offline.", ssd.health);
}

void AddHbm(const HbmSample& hbm, SampledFamilies& out) {
  out.Add(MetricType::Counter, "larder_hbm_moved_blocks_total",
          "Blocks that moved to HBM or back to memory, stayed, or lost their copy in HBM for room.",
          {{"moved", hbm.moved_blocks},
           {"brought", hbm.brought_blocks},
           {"dropped", hbm.dropped_blocks},
           {"skipped", hbm.skipped_blocks}},
          "kind");
  out.Add(MetricType::Counter, "larder_hbm_failed_reads_total",
          "Reads from HBM that failed or found no room.", {{"", hbm.failed_reads}});
  out.Add(MetricType::Counter, "larder_hbm_damaged_frames_total", "Frames in HBM found damaged.",
          {{"", hbm.damaged_frames}});
  out.AddGauge("larder_hbm_health", "0 works, 2 the device is lost.", hbm.lost ? 2 : 0);
}

}  // namespace

const char* TierName(TierKind tier) {
  constexpr std::array<const char*, kTiers> kNames = {"hbm", "dram", "ssd"};
  return kNames[static_cast<size_t>(tier) - 1];
}

void SampledFamilies::Add(MetricType type, const char* name, const char* help,
                          std::vector<std::pair<std::string, double>> values, const char* label) {
  MetricFamily& family = families.emplace_back(MetricFamily{name, help, type, {}});
  for (auto& [label_value, value] : values) {
    ClientMetric& metric = family.metric.emplace_back();
    if (label != nullptr) metric.label.push_back({label, label_value});
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  }
}

void AddSample(const GaugeSample& sample, SampledFamilies& out) {
  const auto tier_gauge = [&](const char* name, const char* help, uint64_t TierUsage::*field) {
    std::vector<std::pair<std::string, double>> values = {
        {TierName(TierKind::kDram), sample.dram.*field}};
    if (sample.hbm) values.emplace_back(TierName(TierKind::kHbm), sample.hbm->usage.*field);
    if (sample.ssd) values.emplace_back(TierName(TierKind::kSsd), sample.ssd->usage.*field);
    out.Add(MetricType::Gauge, name, help, std::move(values), "tier");
  };
  tier_gauge("larder_tier_budget_bytes", "Hard bound of the tier.", &TierUsage::budget_bytes);
  tier_gauge("larder_tier_used_bytes", "In use, rounded to pages.", &TierUsage::used_bytes);
  tier_gauge("larder_tier_blocks", "Blocks, and puts in flight.", &TierUsage::slabs);
  if (sample.hbm) AddHbm(*sample.hbm, out);
  if (sample.ssd) AddSsd(*sample.ssd, out);
  out.AddGauge("larder_index_blocks", "Blocks in the index.", sample.blocks);
  out.AddGauge("larder_index_blocks_max", "Bound of larder_index_blocks.", sample.blocks_max);
  out.AddGauge("larder_pinned_blocks", "Blocks held by leases or gets.", sample.pinned_blocks);
  out.AddGauge("larder_leases", "Live leases.", sample.leases);
  out.AddGauge("larder_spaces", "Registered spaces.", sample.spaces);
  out.Add(MetricType::Gauge, "larder_streams", "Open streams.",
          {{"put", sample.put_streams}, {"get", sample.get_streams}}, "kind");
  out.AddGauge("larder_streams_max", "Bound of the sum of larder_streams.", sample.streams_max);
  out.AddGauge("larder_ingest_in_flight_bytes", "Reserved by puts that are not whole yet.",
               sample.ingest_bytes_in_flight);
  out.AddGauge("larder_ingest_in_flight_bytes_max", "Bound of larder_ingest_in_flight_bytes.",
               sample.ingest_bytes_max);
  out.AddGauge("larder_event_watchers", "Open WatchEvents streams.", sample.event_watchers);
  out.AddGauge("larder_windows", "Open windows of clients.", sample.windows);
  out.AddGauge("larder_windows_max", "Bound of larder_windows.", sample.windows_max);
  out.AddGauge("larder_window_bytes", "Clients' memory that is mapped here.", sample.window_bytes);
  out.AddGauge("larder_window_bytes_max", "Bound of larder_window_bytes.", sample.window_bytes_max);
  out.AddGauge("larder_draining", "1 while the server drains.", sample.draining ? 1 : 0);
  AddTenants(sample.tenants, sample.ssd.has_value(), out);
}

}  // namespace larder::server
