#include "client/client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client_impl.h"
#include "client/retention_wire.h"
#include "larder/v1/cache.pb.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/limits.h"
#include "proto/contract/prefix_hash.h"

namespace larder {

namespace {

// One call of the Cache service, waited for. start(stub, context, request, response, callback)
// issues it.
template <typename Response, typename Request, typename Start>
absl::StatusOr<Response> Call(const std::shared_ptr<Channel>& channel, const Request& request,
                              const CallOptions& options, Start start) {
  return Await<absl::StatusOr<Response>>([&](auto done) {
    CallUnary<Response>(
        channel, DeadlineOf(options), request,
        [stub = channel->cache().async(), start](auto... arguments) { start(stub, arguments...); },
        std::move(done));
  });
}

Milliseconds FromWire(const google::protobuf::Duration& duration) {
  return Milliseconds(duration.seconds() * 1000 + duration.nanos() / 1'000'000);
}

LookupResult ResultOf(const v1::LookupResponse& response) {
  LookupResult result;
  result.blocks.reserve(response.blocks_size());
  for (const v1::ResidentBlock& block : response.blocks()) {
    result.blocks.push_back({static_cast<uint8_t>(block.tier()),
                             static_cast<uint16_t>(block.codec_id()), block.frame_bytes()});
  }
  result.miss_reason = MissReasonFromWire(response.miss_reason());
  result.lease_id = response.lease_id();
  result.lease_ttl = FromWire(response.lease_ttl());
  return result;
}

RopeParams RopeOf(const Rope& rope) {
  return RopeParamsOf({.pairing = RopePairingCode(rope.pairing),
                       .rotary_dim = rope.rotary_dim,
                       .theta = rope.theta,
                       .scaling = rope.scaling,
                       .scaling_factor = rope.scaling_factor,
                       .attention_factor = rope.attention_factor});
}

}  // namespace

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Client::~Client() {
  DeviceCalls& device = impl_->channel()->device_calls();
  device.BeginClose();
  impl_->channel()->Close();
  device.Close();
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options,
                                                        const CallOptions& call) {
  if (options.address.rfind(':') == std::string::npos) {
    return InvalidField("address", options.address, "HOST:PORT");
  }
  std::unique_ptr<Client> client(new Client(std::make_shared<Impl>(options)));
  const auto capabilities = client->Capabilities(call);
  if (!capabilities.ok()) {
    return ServerUnreachable(options.address, std::string(capabilities.status().message()));
  }
  if (capabilities->version_major() != kContractVersionMajor) {
    return VersionMismatch(capabilities->version_major(), kContractVersionMajor);
  }
  if (capabilities->native_hash_probe() != NativeProbe().view()) return HashProbeMismatch();
  if (absl::Status status = client->impl_->channel()->plane().Negotiate(*capabilities);
      !status.ok()) {
    return status;
  }
  return client;
}

absl::StatusOr<v1::CapabilitiesResponse> Client::Capabilities(const CallOptions& call) {
  return Call<v1::CapabilitiesResponse>(
      impl_->channel(), v1::CapabilitiesRequest(), call,
      [](auto stub, auto... arguments) { stub->Capabilities(arguments...); });
}

absl::StatusOr<std::vector<Space>> Client::Register(const v1::Manifest& manifest,
                                                    std::string_view tenant,
                                                    const CallOptions& call) {
  const auto plain = ManifestFromWire(manifest);
  if (!plain.ok()) return plain.status();
  v1::RegisterManifestRequest request;
  request.set_tenant(std::string(tenant));
  *request.mutable_manifest() = manifest;
  const auto response = Call<v1::RegisterManifestResponse>(
      impl_->channel(), request, call,
      [](auto stub, auto... arguments) { stub->RegisterManifest(arguments...); });
  if (!response.ok()) return response.status();

  // The digests are computed here too: a server that computes others would answer with other bytes'
  // blocks.
  const Digest manifest_digest = ManifestDigest(*plain);
  const std::string tenant_name = tenant.empty() ? "default" : std::string(tenant);
  if (response->spaces_size() != static_cast<int>(plain->groups.size())) {
    return Bug("the server registered another number of spaces than the manifest has groups");
  }
  std::vector<Space> spaces;
  for (size_t i = 0; i < plain->groups.size(); ++i) {
    Space space;
    space.digest = SpaceDigest(tenant_name, manifest_digest, plain->groups[i].name);
    space.id = SpaceIdOf(space.digest);
    space.manifest_digest = manifest_digest;
    space.group = plain->groups[i].name;
    space.shape = ShapeOf(*plain, plain->groups[i]);
    space.rope = RopeOf(plain->rope);
    if (response->spaces(static_cast<int>(i)).id() != space.id) return HashProbeMismatch();
    impl_->Remember(space.id, request);
    spaces.push_back(std::move(space));
  }
  return spaces;
}

void Client::LookupAsync(const Space& space, std::span<const PrefixHash> hashes,
                         const LookupOptions& options,
                         std::function<void(absl::StatusOr<LookupResult>)> done) {
  if (hashes.empty() || hashes.size() > kLookupHashesMax) {
    done(InvalidField("hashes", absl::StrCat(hashes.size()),
                      absl::StrCat("1 to ", kLookupHashesMax)));
    return;
  }
  auto request = std::make_shared<v1::LookupRequest>();
  request->set_space_id(space.id);
  request->mutable_prefix_hashes()->Reserve(static_cast<int>(hashes.size()));
  for (const PrefixHash& hash : hashes) request->add_prefix_hashes(std::string(hash.view()));
  request->set_fidelity_min(static_cast<v1::Fidelity>(options.fidelity_min));
  if (options.lease_ttl.count() > 0)
    *request->mutable_lease_ttl() = DurationToWire(options.lease_ttl);

  const SystemTime deadline = DeadlineOf(options);
  auto response = std::make_shared<v1::LookupResponse>();
  impl_->RunRegistered(
      space.id, deadline,
      [channel = impl_->channel().get(), deadline, request, response](Channel::Report report) {
        StartUnary(
            *channel, deadline, request.get(), response.get(), std::move(report),
            [channel](auto... arguments) { channel->cache().async()->Lookup(arguments...); });
      },
      [response, done = std::move(done)](absl::Status status) {
        if (status.ok()) {
          done(ResultOf(*response));
        } else {
          done(std::move(status));
        }
      });
}

absl::StatusOr<LookupResult> Client::Lookup(const Space& space, std::span<const PrefixHash> hashes,
                                            const LookupOptions& options) {
  return Await<absl::StatusOr<LookupResult>>(
      [&](auto done) { LookupAsync(space, hashes, options, std::move(done)); });
}

void Client::PutAsync(const Space& space, std::span<const PutBlock> blocks,
                      const PutOptions& options, PutDone done) {
  if (absl::Status status = CheckPut(space, blocks, options, impl_->channel()->device_calls());
      !status.ok()) {
    done(std::move(status));
    return;
  }
  const SystemTime deadline = DeadlineOf(options);
  auto begun = impl_->BeginPut(space, blocks, options, deadline);
  if (!begun.ok()) {
    done(begun.status());
    return;
  }
  const std::shared_ptr<PutWork> work = *std::move(begun);
  impl_->RunPut(work, deadline, [work, done = std::move(done)](absl::Status status) {
    if (status.ok()) {
      done(std::move(work->results));
    } else {
      done(std::move(status));
    }
  });
}

void Client::GetAsync(const Space& space, std::span<const GetBlock> blocks,
                      const GetOptions& options,
                      std::function<void(absl::StatusOr<std::vector<GetResult>>)> done) {
  if (absl::Status status = CheckGet(space, blocks, impl_->channel()->device_calls());
      !status.ok()) {
    done(std::move(status));
    return;
  }
  auto work = impl_->BeginGet(space, blocks, options);
  const SystemTime deadline = DeadlineOf(options);
  const auto end = [work, done = std::move(done)](absl::Status status) {
    if (status.ok()) {
      done(std::move(work->results));
    } else {
      done(std::move(status));
    }
  };
  if (work->device == nullptr) return impl_->RunGet(work, deadline, end);
  const absl::Status started = impl_->channel()->device_calls().Run(
      [impl = impl_, work, deadline, end] { end(impl->GetNow(work, deadline)); });
  if (!started.ok()) end(started);
}

absl::StatusOr<bool> Client::Release(std::string_view lease_id, const CallOptions& call) {
  v1::ReleaseRequest request;
  request.set_lease_id(std::string(lease_id));
  const auto response =
      Call<v1::ReleaseResponse>(impl_->channel(), request, call,
                                [](auto stub, auto... arguments) { stub->Release(arguments...); });
  if (!response.ok()) return response.status();
  return response->released();
}

absl::StatusOr<Milliseconds> Client::Renew(std::string_view lease_id, Milliseconds ttl,
                                           const CallOptions& call) {
  v1::RenewRequest request;
  request.set_lease_id(std::string(lease_id));
  *request.mutable_lease_ttl() = DurationToWire(ttl);
  const auto response =
      Call<v1::RenewResponse>(impl_->channel(), request, call,
                              [](auto stub, auto... arguments) { stub->Renew(arguments...); });
  if (!response.ok()) return response.status();
  return FromWire(response->lease_ttl());
}

absl::StatusOr<uint32_t> Client::Retain(const Space& space, std::span<const PrefixHash> hashes,
                                        const Retention& retention, const CallOptions& call) {
  v1::RetainRequest request;
  request.set_space_id(space.id);
  for (const PrefixHash& hash : hashes) request.add_prefix_hashes(std::string(hash.view()));
  *request.mutable_retention() = ToWire(retention);
  const auto response =
      Call<v1::RetainResponse>(impl_->channel(), request, call,
                               [](auto stub, auto... arguments) { stub->Retain(arguments...); });
  if (!response.ok()) return response.status();
  return response->retained_blocks();
}

}  // namespace larder
