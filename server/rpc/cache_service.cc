#include "server/rpc/cache_service.h"

#include <google/protobuf/stubs/logging.h>

#include <chrono>
#include <string>

#include "kernels/codec/registry.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/limits.h"
#include "proto/contract/prefix_hash.h"
#include "server/rpc/call_client.h"
#include "server/rpc/call_meter.h"
#include "server/rpc/get_reactor.h"
#include "server/rpc/put_reactor.h"
#include "server/rpc/watch_reactor.h"

namespace larder::server {
namespace {

absl::Status RunLookup(Backend& backend, const std::string& client,
                       const v1::LookupRequest& request, v1::LookupResponse* response) {
  const auto hashes = HashesFromWire(request.prefix_hashes(), kLookupHashesMax, "prefix_hashes");
  if (!hashes.ok()) return hashes.status();
  const auto fidelity = FidelityFromWire(request.fidelity_min());
  if (!fidelity.ok()) return fidelity.status();
  const auto ttl = LeaseTtlFromWire(request.lease_ttl());
  if (!ttl.ok()) return ttl.status();
  if (backend.store.draining()) {
    response->set_miss_reason(v1::MISS_REASON_DRAINING);
    return absl::OkStatus();
  }
  const auto space = backend.store.spaces().Find(request.space_id());
  if (!space.ok()) return space.status();
  const auto answer = backend.store.lookup().Run(**space, *hashes, *fidelity, client, *ttl);
  if (!answer.ok()) return answer.status();

  response->mutable_blocks()->Reserve(static_cast<int>(answer->blocks.size()));
  for (const Residency& residency : answer->blocks) {
    v1::ResidentBlock* block = response->add_blocks();
    block->set_tier(static_cast<v1::Tier>(residency.tier()));
    block->set_codec_id(residency.codec_id);
    block->set_frame_bytes(residency.frame_bytes);
  }
  response->set_miss_reason(static_cast<v1::MissReason>(answer->miss_reason));
  if (!answer->lease_id.empty()) {
    response->set_lease_id(answer->lease_id);
    *response->mutable_lease_ttl() = DurationToWire(*ttl);
  }
  return absl::OkStatus();
}

absl::Status RunRegister(Backend& backend, const v1::RegisterManifestRequest& request,
                         v1::RegisterManifestResponse* response) {
  if (backend.store.draining()) return Draining();
  const auto tenant = TenantFromWire(request.tenant());
  if (!tenant.ok()) return tenant.status();
  const auto manifest = ManifestFromWire(request.manifest());
  if (!manifest.ok()) return manifest.status();
  const auto spaces = backend.store.Register(*tenant, *manifest);
  if (!spaces.ok()) return spaces.status();
  for (const SpaceEntry* space : *spaces) {
    response->set_manifest_digest(space->manifest_digest.data(), space->manifest_digest.size());
    v1::SpaceId* wire = response->add_spaces();
    wire->set_id(space->id);
    wire->set_digest(space->digest.data(), space->digest.size());
    wire->set_group(space->group);
  }
  return absl::OkStatus();
}

void FillCapabilities(const Backend& backend, v1::CapabilitiesResponse* response) {
  response->set_version_major(kContractVersionMajor);
  response->set_version_minor(kContractVersionMinor);
  response->set_server_version(LARDER_VERSION);
  response->set_instance_id(backend.instance_id);
  const auto announce = [&](std::string_view name) {
    std::string why;
    const auto plan = ParsePlan(name, &why);
    if (!plan) return;
    v1::CodecCapability* codec = response->add_codecs();
    codec->set_name(std::string(name));
    codec->set_id(static_cast<uint32_t>(plan->key.id));
    codec->set_fidelity(static_cast<v1::Fidelity>(FidelityOf(*plan)));
  };
  for (const PresetRow& row : Presets()) announce(row.name);
  for (const FormatRow& row : Formats()) announce(row.name);
  response->add_planes("inline");
  if (!backend.shm_socket.empty()) {
    response->add_planes("shm");
    response->set_shm_socket(backend.shm_socket);
  }
  if (backend.ucx != nullptr) {
    response->add_planes("ucx");
    response->set_ucx_address(backend.ucx->address());
  }
  v1::Limits* limits = response->mutable_limits();
  limits->set_frame_bytes_max(kFrameBytesMax);
  limits->set_lookup_hashes_max(kLookupHashesMax);
  limits->set_put_blocks_max(kPutBlocksMax);
  limits->set_get_blocks_max(kGetBlocksMax);
  limits->set_retain_hashes_max(kRetainHashesMax);
  *limits->mutable_lease_ttl_max() = DurationToWire(std::chrono::seconds(kLeaseTtlSecondsMax));
  limits->set_leases_per_client_max(backend.config.leases_per_client_max);
  response->set_native_hash_probe(std::string(NativeProbe().view()));
  response->set_draining(backend.store.draining());
}

}  // namespace

CacheService::CacheService(Backend& backend) : backend_(backend) {
  // Protobuf would write a line to stderr for every malformed string that a hostile client sends.
  google::protobuf::SetLogHandler(nullptr);
}

grpc::ServerUnaryReactor* CacheService::Capabilities(grpc::CallbackServerContext* context,
                                                     const v1::CapabilitiesRequest*,
                                                     v1::CapabilitiesResponse* response) {
  return AnswerUnary(backend_, Method::kCapabilities, context, [&] {
    FillCapabilities(backend_, response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CacheService::RegisterManifest(grpc::CallbackServerContext* context,
                                                         const v1::RegisterManifestRequest* request,
                                                         v1::RegisterManifestResponse* response) {
  return AnswerUnary(backend_, Method::kRegisterManifest, context,
                     [&] { return RunRegister(backend_, *request, response); });
}

grpc::ServerUnaryReactor* CacheService::Lookup(grpc::CallbackServerContext* context,
                                               const v1::LookupRequest* request,
                                               v1::LookupResponse* response) {
  return AnswerUnary(backend_, Method::kLookup, context,
                     [&] { return RunLookup(backend_, ClientOf(*context), *request, response); });
}

grpc::ServerReadReactor<grpc::ByteBuffer>* CacheService::Put(grpc::CallbackServerContext* context,
                                                             grpc::ByteBuffer* response) {
  return new PutReactor(backend_, context, response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* CacheService::Get(grpc::CallbackServerContext* context,
                                                              const grpc::ByteBuffer* request) {
  return new GetReactor(backend_, context, request);
}

grpc::ServerUnaryReactor* CacheService::Release(grpc::CallbackServerContext* context,
                                                const v1::ReleaseRequest* request,
                                                v1::ReleaseResponse* response) {
  return AnswerUnary(backend_, Method::kRelease, context, [&]() -> absl::Status {
    const auto lease = LeaseIdFromWire(request->lease_id());
    if (!lease.ok()) return lease.status();
    response->set_released(backend_.store.leases().Release(*lease));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CacheService::Renew(grpc::CallbackServerContext* context,
                                              const v1::RenewRequest* request,
                                              v1::RenewResponse* response) {
  return AnswerUnary(backend_, Method::kRenew, context, [&]() -> absl::Status {
    const auto lease = LeaseIdFromWire(request->lease_id());
    if (!lease.ok()) return lease.status();
    const auto ttl = LeaseTtlFromWire(request->lease_ttl());
    if (!ttl.ok()) return ttl.status();
    if (ttl->count() == 0)
      return InvalidField("lease_ttl", "0", "more than 0; call Release to end a lease");
    *response->mutable_lease_ttl() = DurationToWire(*ttl);
    return backend_.store.leases().Renew(*lease, *ttl);
  });
}

grpc::ServerUnaryReactor* CacheService::Retain(grpc::CallbackServerContext* context,
                                               const v1::RetainRequest* request,
                                               v1::RetainResponse* response) {
  return AnswerUnary(backend_, Method::kRetain, context, [&]() -> absl::Status {
    const auto hashes = HashesFromWire(request->prefix_hashes(), kRetainHashesMax, "prefix_hashes");
    if (!hashes.ok()) return hashes.status();
    const auto retention = RetentionFromWire(request->retention());
    if (!retention.ok()) return retention.status();
    const auto space = backend_.store.spaces().Find(request->space_id());
    if (!space.ok()) return space.status();
    response->set_retained_blocks(
        static_cast<uint32_t>(backend_.store.blocks().Retain(**space, *hashes, *retention)));
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::WatchEventsResponse>* CacheService::WatchEvents(
    grpc::CallbackServerContext* context, const v1::WatchEventsRequest* request) {
  return new WatchReactor(backend_, context, *request);
}

}  // namespace larder::server
