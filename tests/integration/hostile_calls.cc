#include <iterator>
#include <limits>
#include <utility>

#include "larder/v1/admin.pb.h"
#include "tests/integration/hostile_inputs.h"

namespace larder::testing {
namespace {

constexpr size_t kLeaseIdBytes = 16;

// ---- Requests that name blocks.

template <typename Message>
constexpr const char* kMethodOf = nullptr;
template <>
constexpr const char* kMethodOf<v1::LookupRequest> = "Cache/Lookup";
template <>
constexpr const char* kMethodOf<v1::GetRequest> = "Cache/Get";
template <>
constexpr const char* kMethodOf<v1::RetainRequest> = "Cache/Retain";
template <>
constexpr const char* kMethodOf<v1::EvictRequest> = "Admin/Evict";
template <>
constexpr const char* kMethodOf<v1::RenewRequest> = "Cache/Renew";
template <>
constexpr const char* kMethodOf<v1::ReleaseRequest> = "Cache/Release";

template <typename Message>
Request Sole(const Message& message) {
  return {kMethodOf<Message>, {message.SerializeAsString()}, {}};
}

// A request about one block that nobody has, good as it is.
template <typename Message>
Message OneBlock(Random& random, const Target& target) {
  Message message;
  message.set_space_id(target.space.id);
  message.add_prefix_hashes(RandomText(random, 32));
  return message;
}

template <typename Message>
Request NoHashes(Random& random, const Target& target) {
  auto message = OneBlock<Message>(random, target);
  message.clear_prefix_hashes();
  return Sole(message);
}

template <typename Message>
Request EmptyHash(Random& random, const Target& target) {
  auto message = OneBlock<Message>(random, target);
  message.add_prefix_hashes("");
  return Sole(message);
}

template <typename Message>
Request LongHash(Random& random, const Target& target) {
  auto message = OneBlock<Message>(random, target);
  message.add_prefix_hashes(RandomText(random, kPrefixHashBytesMax + 1 + random() % 200));
  return Sole(message);
}

template <typename Message>
Request TooManyHashes(Random& random, const Target& target) {
  auto message = OneBlock<Message>(random, target);
  for (uint32_t i = 0; i < kLookupHashesMax; ++i) message.add_prefix_hashes("x");
  return Sole(message);
}

template <typename Message>
Request UnknownSpace(Random& random, const Target& target) {
  auto message = OneBlock<Message>(random, target);
  message.set_space_id(OtherSpace(random, target));
  return Sole(message);
}

template <typename Message>
Request BadFidelity(Random& random, const Target& target) {
  auto message = OneBlock<Message>(random, target);
  message.set_fidelity_min(static_cast<v1::Fidelity>(random() % 2 ? 6 + random() % 1000 : -1));
  return Sole(message);
}

Request LookupNegativeTtl(Random& random, const Target& target) {
  auto message = OneBlock<v1::LookupRequest>(random, target);
  *message.mutable_lease_ttl() = NegativeDuration(random);
  return Sole(message);
}

Request GetWithLease(Random& random, const Target& target, std::string lease) {
  auto message = OneBlock<v1::GetRequest>(random, target);
  message.set_prefix_hashes(0, std::string(target.resident.view()));
  message.set_lease_id(std::move(lease));
  return Sole(message);
}

Request RenewOf(std::string lease, const google::protobuf::Duration& ttl) {
  v1::RenewRequest message;
  message.set_lease_id(std::move(lease));
  *message.mutable_lease_ttl() = ttl;
  return Sole(message);
}

Request ReleaseOf(std::string lease) {
  v1::ReleaseRequest message;
  message.set_lease_id(std::move(lease));
  return Sole(message);
}

google::protobuf::Duration OneSecond() {
  google::protobuf::Duration duration;
  duration.set_seconds(1);
  return duration;
}

Request RetainBadly(Random& random, const Target& target) {
  auto message = OneBlock<v1::RetainRequest>(random, target);
  *message.mutable_retention() = BadRetention(random);
  return Sole(message);
}

std::string ShortLease(Random& random) {
  const size_t size = 1 + random() % 64;
  return RandomText(random, size == kLeaseIdBytes ? kLeaseIdBytes + 1 : size);
}

// ---- RegisterManifest.

Request RegisterWith(Random& random, const Target& target) {
  v1::RegisterManifestRequest request;
  v1::Manifest& manifest = *request.mutable_manifest();
  manifest = target.manifest;
  v1::LayerGroup& group = *manifest.mutable_groups(0);
  switch (random() % 16) {
    case 0:
      manifest.clear_model();
      break;
    case 1:
      manifest.set_model(std::string(kModelNameBytesMax + 1 + random() % 4096, 'm'));
      break;
    case 2:
      manifest.set_dtype(static_cast<v1::Dtype>(8 + random() % 1000));
      break;
    case 3:
      manifest.set_axis_order(static_cast<v1::AxisOrder>(-1));
      break;
    case 4:
      manifest.set_block_tokens(kBlockTokensMax + 1 + random() % 1000);
      break;
    case 5:
      manifest.set_block_tokens(0);
      break;
    case 6:
      manifest.clear_groups();
      break;
    case 7:
      while (manifest.groups_size() <= 64) *manifest.add_groups() = group;
      break;
    case 8:
      group.set_layers(UINT32_MAX);
      break;
    case 9:
      group.set_layer_begin(UINT32_MAX);
      break;
    case 10:
      group.set_unit_bytes(UINT32_MAX);
      break;
    case 11:
      group.set_kind(static_cast<v1::GroupKind>(5 + random() % 1000));
      break;
    case 12:
      manifest.mutable_shard()->set_tensor_parallel_rank(1 + random() % 1000);
      break;
    case 13:
      manifest.mutable_rope()->set_scaling_factor(-1.0 / 0.0);
      break;
    case 14:
      request.set_tenant("a/../" + std::string(random() % 200, 't'));
      break;
    default:
      manifest.set_weights_digest(RandomText(random, 65 + random() % 1000));
      break;
  }
  return {"Cache/RegisterManifest", {request.SerializeAsString()}};
}

// A string field that is not UTF-8: model, field 1 of manifest, field 2 of the request.
Request RegisterBadUtf8(Random& random, const Target&) {
  std::string model = "\x0A\x04\xFF\xFE\xC0";
  model += static_cast<char>(0x80 | random() % 64);
  return {"Cache/RegisterManifest",
          {"\x12" + std::string(1, static_cast<char>(model.size())) + model}};
}

constexpr const char* kUnaryMethods[] = {"Cache/Lookup", "Cache/Release",          "Cache/Renew",
                                         "Cache/Retain", "Cache/RegisterManifest", "Admin/Evict"};

std::string UnaryMethod(Random& random) {
  return kUnaryMethods[random() % std::size(kUnaryMethods)];
}

constexpr HostileKind kCalls[] = {
    {"lookup_no_hashes", 4, Code::INVALID_ARGUMENT, NoHashes<v1::LookupRequest>},
    {"lookup_empty_hash", 4, Code::INVALID_ARGUMENT, EmptyHash<v1::LookupRequest>},
    {"lookup_long_hash", 4, Code::INVALID_ARGUMENT, LongHash<v1::LookupRequest>},
    {"lookup_too_many_hashes", 1, Code::INVALID_ARGUMENT, TooManyHashes<v1::LookupRequest>},
    {"lookup_unknown_space", 8, Code::FAILED_PRECONDITION, UnknownSpace<v1::LookupRequest>},
    {"lookup_bad_fidelity", 4, Code::INVALID_ARGUMENT, BadFidelity<v1::LookupRequest>},
    {"lookup_negative_ttl", 4, Code::INVALID_ARGUMENT, LookupNegativeTtl},
    {"get_no_hashes", 4, Code::INVALID_ARGUMENT, NoHashes<v1::GetRequest>},
    {"get_empty_hash", 4, Code::INVALID_ARGUMENT, EmptyHash<v1::GetRequest>},
    {"get_long_hash", 4, Code::INVALID_ARGUMENT, LongHash<v1::GetRequest>},
    {"get_too_many_hashes", 1, Code::INVALID_ARGUMENT, TooManyHashes<v1::GetRequest>},
    {"get_unknown_space", 8, Code::FAILED_PRECONDITION, UnknownSpace<v1::GetRequest>},
    {"get_bad_fidelity", 4, Code::INVALID_ARGUMENT, BadFidelity<v1::GetRequest>},
    {"get_short_lease", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) { return GetWithLease(r, t, ShortLease(r)); }},
    {"get_forged_lease", 8, Code::FAILED_PRECONDITION,
     [](Random& r, const Target& t) { return GetWithLease(r, t, RandomText(r, kLeaseIdBytes)); }},
    {"get_expired_lease", 8, Code::FAILED_PRECONDITION,
     [](Random& r, const Target& t) { return GetWithLease(r, t, t.lease_ended); }},
    {"renew_forged_lease", 4, Code::FAILED_PRECONDITION,
     [](Random& r, const Target&) { return RenewOf(RandomText(r, kLeaseIdBytes), OneSecond()); }},
    {"renew_expired_lease", 8, Code::FAILED_PRECONDITION,
     [](Random&, const Target& t) { return RenewOf(t.lease_ended, OneSecond()); }},
    {"renew_short_lease", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target&) { return RenewOf(ShortLease(r), OneSecond()); }},
    {"renew_negative_ttl", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) { return RenewOf(t.lease_ended, NegativeDuration(r)); }},
    {"renew_zero_ttl", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target& t) { return RenewOf(t.lease_ended, {}); }},
    {"release_forged_lease", 4, Code::OK,
     [](Random& r, const Target&) { return ReleaseOf(RandomText(r, kLeaseIdBytes)); }},
    {"release_expired_lease", 4, Code::OK,
     [](Random&, const Target& t) { return ReleaseOf(t.lease_ended); }},
    {"release_short_lease", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target&) { return ReleaseOf(ShortLease(r)); }},
    {"retain_no_hashes", 4, Code::INVALID_ARGUMENT, NoHashes<v1::RetainRequest>},
    {"retain_long_hash", 4, Code::INVALID_ARGUMENT, LongHash<v1::RetainRequest>},
    {"retain_too_many_hashes", 1, Code::INVALID_ARGUMENT, TooManyHashes<v1::RetainRequest>},
    {"retain_unknown_space", 4, Code::FAILED_PRECONDITION, UnknownSpace<v1::RetainRequest>},
    {"retain_bad_retention", 4, Code::INVALID_ARGUMENT, RetainBadly},
    {"retain_unknown_block", 4, Code::OK,
     [](Random& r, const Target& t) { return Sole(OneBlock<v1::RetainRequest>(r, t)); }},
    {"evict_unknown_space", 4, Code::FAILED_PRECONDITION, UnknownSpace<v1::EvictRequest>},
    {"evict_long_hash", 4, Code::INVALID_ARGUMENT, LongHash<v1::EvictRequest>},
    {"get_noise",
     16,
     {},
     [](Random& r, const Target&) {
       return Request{"Cache/Get", {RandomText(r, 1 + r() % 4096)}, {}};
     }},
    {"unary_noise",
     16,
     {},
     [](Random& r, const Target&) {
       return Request{UnaryMethod(r), {RandomText(r, 1 + r() % 4096)}, {}};
     }},
    {"unary_without_message",
     4,
     {},
     [](Random& r, const Target&) {
       return Request{UnaryMethod(r), {}, {}};
     }},
    {"unary_two_messages",
     4,
     {},
     [](Random& r, const Target&) {
       return Request{UnaryMethod(r), {"", ""}, {}};
     }},
    {"unary_oversized_message", 1, Code::RESOURCE_EXHAUSTED,
     [](Random& r, const Target&) {
       return Request{UnaryMethod(r), {std::string(5u << 20, 'x')}, {}};
     }},
    {"oversized_metadata",
     2,
     {},  // or UNAVAILABLE: the connection breaks while it is being sent

     [](Random& r, const Target&) {
       Request request{
           UnaryMethod(r), {""}, {{"larder-client", std::string(20'000 + r() % 100'000, 'c')}}};
       request.closes_connection = true;
       return request;
     }},
    {"many_metadata_keys",
     4,
     {},
     [](Random& r, const Target&) {
       Request request{UnaryMethod(r), {""}, {}};
       for (int i = 0; i < 60; ++i) {
         request.metadata.emplace_back("x-noise-" + std::to_string(r()) + "-bin",
                                       RandomText(r, 50));
       }
       return request;
     }},
    {"unknown_method", 4, Code::UNIMPLEMENTED,
     [](Random& r, const Target&) {
       return Request{"Cache/" + std::to_string(r()), {RandomText(r, 64)}, {}};
     }},
    {"manifest_bad_field", 16, Code::INVALID_ARGUMENT, RegisterWith},
    {"manifest_bad_utf8", 8, {}, RegisterBadUtf8},
};

}  // namespace

std::span<const HostileKind> HostileCalls() { return kCalls; }

}  // namespace larder::testing
