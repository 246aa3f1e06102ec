#include "server/rpc/admin_service.h"

#include <chrono>
#include <string>
#include <vector>

#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "server/rpc/call_meter.h"

namespace larder::server {
namespace {

double SecondsBetween(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

void FillSpaces(const SpaceTable& spaces, v1::StatsResponse* response) {
  for (const SpaceEntry* space : spaces.All()) {
    v1::SpaceStats* wire = response->add_spaces();
    wire->set_id(space->id);
    wire->set_tenant(space->tenant);
    wire->set_model(space->manifest->model);
    wire->set_group(space->group);
    wire->set_lookup_tokens(space->lookup_tokens.load());
    wire->set_hit_tokens(space->hit_tokens.load());
    wire->set_blocks(space->blocks.load());
    wire->set_stored_bytes(space->stored_bytes.load());
    wire->set_raw_bytes(space->blocks.load() * space->raw_bytes);
  }
}

void FillTenants(const Store& store, v1::StatsResponse* response) {
  for (const TenantSample& tenant : store.TenantSamples()) {
    v1::TenantStats* wire = response->add_tenants();
    wire->set_tenant(tenant.tenant);
    wire->set_used_bytes(tenant.used_bytes);
    if (tenant.quota_bytes) wire->set_quota_bytes(*tenant.quota_bytes);
    wire->set_reserve_bytes(tenant.reserve_bytes);
    wire->set_ssd_used_bytes(tenant.ssd_used_bytes);
    if (tenant.ssd_quota_bytes) wire->set_ssd_quota_bytes(*tenant.ssd_quota_bytes);
    wire->set_ssd_reserve_bytes(tenant.ssd_reserve_bytes);
    wire->set_evicted_blocks(tenant.evicted_blocks);
    wire->set_no_room_blocks(tenant.no_room_blocks);
  }
}

void FillHbm(Store& store, const BlockStore::Stats& blocks, v1::TierStats* tier) {
  const TierUsage usage = store.hbm()->usage();
  const HbmMigrate::Stats moves = store.hbm_migrate()->stats();
  tier->set_tier(v1::TIER_HBM);
  tier->set_budget_bytes(usage.budget_bytes);
  tier->set_used_bytes(usage.used_bytes);
  tier->set_blocks(blocks.hbm_blocks);
  tier->set_moved_in_blocks(moves.moved);
  tier->set_moves_skipped(moves.skipped);
  tier->set_dropped_blocks(blocks.dropped_hbm);
  tier->set_damaged_frames(store.hbm_reads()->stats().damaged);
  tier->set_health(moves.lost ? "offline" : "ok");
}

void FillTiers(Store& store, const BlockStore::Stats& blocks, v1::StatsResponse* response) {
  const TierUsage usage = store.dram().usage();
  TierTokens hits = store.lookup().hits();
  if (store.hbm() != nullptr) {
    v1::TierStats* tier = response->add_tiers();
    FillHbm(store, blocks, tier);
    tier->set_hit_tokens(hits[TierKind::kHbm]);
  }
  v1::TierStats* dram = response->add_tiers();
  dram->set_tier(v1::TIER_DRAM);
  dram->set_budget_bytes(usage.budget_bytes);
  dram->set_used_bytes(usage.used_bytes);
  dram->set_blocks(blocks.memory_blocks);
  dram->set_hit_tokens(hits[TierKind::kDram]);
  const uint64_t brought = store.hbm() != nullptr ? store.hbm_reads()->stats().brought : 0;
  dram->set_moved_in_blocks(brought);
  if (store.ssd() == nullptr) return;

  const Migrate::Stats moves = store.migrate()->stats();
  dram->set_moved_in_blocks(brought + moves.promotions);
  dram->set_moves_skipped(moves.promotions_skipped);
  dram->set_dropped_blocks(blocks.dropped_memory);
  const SsdUsage ssd = store.ssd()->usage();
  v1::TierStats* tier = response->add_tiers();
  tier->set_tier(v1::TIER_SSD);
  tier->set_budget_bytes(ssd.budget_bytes);
  tier->set_used_bytes(ssd.live_bytes);
  tier->set_blocks(blocks.ssd_blocks);
  tier->set_hit_tokens(hits[TierKind::kSsd]);
  tier->set_moved_in_blocks(moves.writes);
  tier->set_moves_skipped(moves.no_room + moves.too_large + moves.write_failures);
  tier->set_moves_waiting(moves.queued);
  tier->set_overtaken_blocks(blocks.overtaken);
  tier->set_recoded_blocks(moves.recoded);
  tier->set_write_amplification(ssd.write_amplification());
  tier->set_bytes_written_today(ssd.bytes_written_today);
  if (ssd.write_budget_left != UINT64_MAX) {
    tier->set_write_budget_left_bytes(ssd.write_budget_left);
  }
  tier->set_scrubbed_bytes(ssd.scrubbed_bytes);
  tier->set_scrub_bytes_to_do(ssd.scrub_bytes_to_do);
  tier->set_damaged_frames(ssd.damaged_frames);
  tier->set_health(std::string(SsdHealthName(ssd.health)));
  tier->set_restored_blocks(blocks.restored);
}

void FillStats(Backend& backend, v1::StatsResponse* response) {
  Store& store = backend.store;
  response->set_server_version(LARDER_VERSION);
  response->set_uptime_seconds(SecondsBetween(backend.start, backend.clock.Now()));
  response->set_draining(store.draining());

  const BlockStore::Stats blocks = store.blocks().stats();
  FillTiers(store, blocks, response);
  FillSpaces(store.spaces(), response);
  FillTenants(store, response);

  response->set_leases(store.leases().size());
  response->set_pinned_blocks(blocks.pinned_blocks);
  response->set_put_streams(backend.gate.open(StreamKind::kPut));
  response->set_get_streams(backend.gate.open(StreamKind::kGet));
  response->set_ingest_bytes_in_flight(store.ingest_budget().used());
  response->set_quarantined_blocks(store.quarantine().total());
  response->set_process_cpu_seconds(ProcessCpuSeconds());
  response->set_resident_memory_bytes(ProcessResidentBytes());
  response->set_stored_blocks(blocks.stored);
  response->set_evicted_blocks(blocks.removed[static_cast<int>(RemovalReason::kPressure)]);
  response->set_expired_blocks(blocks.removed[static_cast<int>(RemovalReason::kExpired)]);
  response->set_conflict_blocks(blocks.conflicts);
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::Stats(grpc::CallbackServerContext* context,
                                              const v1::StatsRequest*,
                                              v1::StatsResponse* response) {
  return AnswerUnary(backend_, Method::kAdmin, context, [&] {
    FillStats(backend_, response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Config(grpc::CallbackServerContext* context,
                                               const v1::ConfigRequest*,
                                               v1::ConfigResponse* response) {
  return AnswerUnary(backend_, Method::kAdmin, context, [&] {
    response->set_yaml(backend_.config.ToYaml());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Drain(grpc::CallbackServerContext* context,
                                              const v1::DrainRequest*, v1::DrainResponse*) {
  return AnswerUnary(backend_, Method::kAdmin, context, [&] {
    backend_.store.Drain();
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Evict(grpc::CallbackServerContext* context,
                                              const v1::EvictRequest* request,
                                              v1::EvictResponse* response) {
  return AnswerUnary(backend_, Method::kAdmin, context, [&]() -> absl::Status {
    std::vector<PrefixHash> hashes;
    if (!request->prefix_hashes().empty()) {
      auto converted = HashesFromWire(request->prefix_hashes(), kRetainHashesMax, "prefix_hashes");
      if (!converted.ok()) return converted.status();
      hashes = *std::move(converted);
    }
    const auto space = backend_.store.spaces().Find(request->space_id());
    if (!space.ok()) return space.status();
    const auto evicted = backend_.store.blocks().Evict(**space, hashes);
    response->set_evicted_blocks(evicted.evicted);
    response->set_held_blocks(evicted.held);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Quarantine(grpc::CallbackServerContext* context,
                                                   const v1::QuarantineRequest*,
                                                   v1::QuarantineResponse* response) {
  return AnswerUnary(backend_, Method::kAdmin, context, [&] {
    const TimePoint now = backend_.clock.Now();
    for (const QuarantinedFrame& frame : backend_.store.quarantine().All()) {
      v1::QuarantinedBlock* wire = response->add_blocks();
      wire->set_space_id(frame.space);
      wire->set_prefix_hash(std::string(frame.hash.view()));
      wire->set_tier(static_cast<v1::Tier>(frame.tier));
      wire->set_reason(frame.reason);
      wire->set_age_seconds(SecondsBetween(frame.time, now));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Spaces(grpc::CallbackServerContext* context,
                                               const v1::SpacesRequest*,
                                               v1::SpacesResponse* response) {
  return AnswerUnary(backend_, Method::kAdmin, context, [&] {
    for (const SpaceEntry* space : backend_.store.spaces().All()) {
      v1::Space* wire = response->add_spaces();
      wire->set_id(space->id);
      wire->set_tenant(space->tenant);
      wire->set_group(space->group);
      wire->set_manifest_digest(space->manifest_digest.data(), space->manifest_digest.size());
      *wire->mutable_manifest() = ManifestToWire(*space->manifest);
    }
    return absl::OkStatus();
  });
}

}  // namespace larder::server
