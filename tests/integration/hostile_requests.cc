#include "tests/integration/hostile_requests.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>

#include "larder/v1/admin.pb.h"
#include "larder/v1/cache.pb.h"
#include "proto/contract/limits.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder::testing {
namespace {

using Code = grpc::StatusCode;
using Request = HostileRequest;
using Target = HostileTarget;

constexpr size_t kLeaseIdBytes = 16;

std::string RandomText(Random& random, size_t size) {
  std::string text(size, '\0');
  for (char& byte : text) byte = static_cast<char>(random());
  return text;
}

std::string Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t OtherSpace(Random& random, const Target& target) {
  return target.space.id ^ (1 + random() % 255);
}

google::protobuf::Duration NegativeDuration(Random& random) {
  google::protobuf::Duration duration;
  switch (random() % 3) {
    case 0:
      duration.set_seconds(-1 - static_cast<int64_t>(random() >> 1));
      break;
    case 1:
      duration.set_nanos(-1 - static_cast<int32_t>(random() % 999'999'999));
      break;
    default:
      duration.set_nanos(INT32_MAX);
      break;
  }
  return duration;
}

void FlipBits(Random& random, std::string* bytes, size_t begin = 0) {
  for (uint64_t flips = 1 + random() % 8; flips > 0; --flips) {
    (*bytes)[begin + random() % (bytes->size() - begin)] ^= static_cast<char>(1u << random() % 8);
  }
}

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

v1::Retention BadRetention(Random& random) {
  v1::Retention retention;
  switch (random() % 3) {
    case 0:
      retention.set_priority(kPriorityMax + 1 + random() % 1000);
      break;
    case 1:
      *retention.mutable_ttl() = NegativeDuration(random);
      break;
    default:
      *retention.mutable_priority_duration() = NegativeDuration(random);
      break;
  }
  return retention;
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

// ---- Put streams.

std::string Open(uint64_t space, uint32_t blocks) {
  v1::PutRequest message;
  message.mutable_open()->set_space_id(space);
  message.mutable_open()->set_blocks(blocks);
  return message.SerializeAsString();
}

std::string Part(uint32_t index, uint64_t frame_bytes, std::string payload,
                 const v1::Retention& retention = {}) {
  v1::PutRequest message;
  v1::BlockPart* part = message.add_parts();
  part->set_index(index);
  part->set_frame_bytes(frame_bytes);
  *part->mutable_retention() = retention;
  part->set_payload(std::move(payload));
  return message.SerializeAsString();
}

Request PutOf(std::vector<std::string> messages, Request::End end = Request::End::kHalfClose) {
  return {"Cache/Put", std::move(messages), {}, end};
}

FrameIdentity IdentityOf(Random& random, const Target& target) {
  FrameIdentity identity = RandomIdentity(random);
  identity.space_digest = target.space.digest;
  identity.manifest_digest = target.space.manifest_digest;
  identity.parent_hash = {};
  identity.parent_hash_bytes = 0;
  return identity;
}

// A frame that would be stored, of a block that nobody has.
Bytes GoodFrame(Random& random, const Target& target) {
  const auto raw = RandomBytes(random, RawBytes(target.space.shape).value());
  return MakeFrame(IdentityOf(random, target), target.space.shape, raw);
}

Request PutFrame(const Target& target, const std::string& frame) {
  return PutOf({Open(target.space.id, 1) + Part(0, frame.size(), frame)});
}

Request TruncatedPut(Random& random, const Target& target, Request::End end) {
  const Bytes frame = GoodFrame(random, target);
  const size_t sent = random() % frame.size();
  return PutOf({Open(target.space.id, 1), Part(0, frame.size(), Text(frame).substr(0, sent))}, end);
}

// Sizes, counts, offsets and enums of the header region replaced, under a root that agrees again.
Request PutForged(Random& random, const Target& target) {
  constexpr size_t kIdentityOffset =
      offsetof(FrameHeader, token_begin);  // from here on: whose block it is
  for (;;) {
    Bytes frame = GoodFrame(random, target);
    const size_t tables = Load<FrameHeader>(frame, 0).header_bytes - sizeof(FrameHeader);
    for (uint64_t fields = 1 + random() % 3; fields > 0; --fields) {
      size_t at = random() % (kIdentityOffset + tables);
      if (at >= kIdentityOffset) at += sizeof(FrameHeader) - kIdentityOffset;
      static constexpr uint64_t kEdges[] = {0, 1, 63, 64, 0x7FFFFFFF, 0xFFFFFFFF, UINT64_MAX};
      const uint64_t value = random() % 2 ? random() : kEdges[random() % std::size(kEdges)];
      const size_t width = size_t{1} << random() % 4;
      std::memcpy(frame.data() + at, &value, std::min(width, sizeof(FrameHeader) + tables - at));
    }
    Reroot(&frame);
    // By chance still a good frame (the same value, another fidelity): not hostile.
    if (ParseAndVerify(frame) != FrameFault::kNone) return PutFrame(target, Text(frame));
  }
}

Request PutOtherShape(Random& random, const Target& target) {
  KvShape shape = target.space.shape;
  switch (random() % 4) {
    case 0:
      ++shape.layers;
      break;
    case 1:
      ++shape.unit_bytes;
      break;
    case 2:
      ++shape.tokens;
      break;
    default:
      ++shape.layer_begin;
      break;
  }
  const Bytes raw = RandomBytes(random, RawBytes(shape).value());
  return PutFrame(target, Text(MakeFrame(IdentityOf(random, target), shape, raw)));
}

Request PutAs(Random& random, const Target& target,
              void (*change)(Random&, const Target&, FrameIdentity*)) {
  FrameIdentity identity = IdentityOf(random, target);
  change(random, target, &identity);
  const Bytes raw = RandomBytes(random, RawBytes(target.space.shape).value());
  return PutFrame(target, Text(MakeFrame(identity, target.space.shape, raw)));
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

constexpr HostileKind kNamingKinds[] = {
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
};

constexpr HostileKind kStreamKinds[] = {
    {"put_empty_stream", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target&) { return PutOf({}); }},
    {"put_part_before_open", 8, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Part(0, frame.size(), frame), Open(t.space.id, 1)});
     }},
    {"put_open_no_blocks", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target& t) { return PutOf({Open(t.space.id, 0)}); }},
    {"put_open_too_many_blocks", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, kPutBlocksMax + 1 + static_cast<uint32_t>(r() % INT32_MAX))});
     }},
    {"put_open_most_blocks_then_end", 1, Code::OK,
     [](Random&, const Target& t) { return PutOf({Open(t.space.id, kPutBlocksMax)}); }},
    {"put_open_twice", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target& t) {
       return PutOf({Open(t.space.id, 1), Open(t.space.id, 1)});
     }},
    {"put_unknown_space", 8, Code::FAILED_PRECONDITION,
     [](Random& r, const Target& t) { return PutOf({Open(OtherSpace(r, t), 1)}); }},
    {"put_index_beyond_count", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf(
           {Open(t.space.id, 2), Part(2 + static_cast<uint32_t>(r() >> 33), frame.size(), frame)});
     }},
    {"put_index_out_of_order", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       std::string frame = Text(GoodFrame(r, t));
       FlipBits(r, &frame);
       return PutOf(
           {Open(t.space.id, 2), Part(1, frame.size(), frame), Part(0, frame.size(), frame)});
     }},
    {"put_begin_within_block", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Open(t.space.id, 2),
                     Part(0, frame.size(), frame.substr(0, r() % frame.size())),
                     Part(1, frame.size(), frame)});
     }},
    {"put_payload_of_no_block", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 1), Part(0, 0, RandomText(r, 300))});
     }},
    {"put_payload_beyond_frame", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Open(t.space.id, 1), Part(0, frame.size() - 1 - r() % 100, frame)});
     }},
    {"put_frame_too_small", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 1), Part(0, 1 + r() % 255, "x")});
     }},
    {"put_frame_too_large", 8, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 1), Part(0, kFrameBytesMax + 1 + (r() >> 1), "x")});
     }},
    {"put_bad_retention", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Open(t.space.id, 1), Part(0, frame.size(), frame, BadRetention(r))});
     }},
    {"put_truncated", 16, Code::OK,
     [](Random& r, const Target& t) { return TruncatedPut(r, t, Request::End::kHalfClose); }},
    {"put_cancelled", 16, Code::CANCELLED,
     [](Random& r, const Target& t) { return TruncatedPut(r, t, Request::End::kCancel); }},
    {"put_silent", 1, Code::DEADLINE_EXCEEDED,
     [](Random& r, const Target& t) { return TruncatedPut(r, t, Request::End::kSilence); }},
};

constexpr HostileKind kFrameKinds[] = {
    {"frame_bits_flipped", 32, Code::OK,
     [](Random& r, const Target& t) {
       const std::string good = Text(GoodFrame(r, t));
       std::string frame = good;
       while (frame == good) FlipBits(r, &frame);
       return PutFrame(t, frame);
     }},
    {"frame_fields_forged", 32, Code::OK, PutForged},
    {"frame_of_noise", 8, Code::OK,
     [](Random& r, const Target& t) { return PutFrame(t, RandomText(r, 256 + r() % 8192)); }},
    {"frame_cut_and_announced_so", 8, Code::OK,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutFrame(t, frame.substr(0, 256 + r() % (frame.size() - 256)));
     }},
    {"frame_of_other_shape", 8, Code::OK, PutOtherShape},
    {"frame_of_other_space", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random& n, const Target&, FrameIdentity* i) {
         i->space_digest[n() % 32] ^= 1;
       });
     }},
    {"frame_of_other_manifest", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random& n, const Target&, FrameIdentity* i) {
         i->manifest_digest[n() % 32] ^= 1;
       });
     }},
    {"frame_of_unknown_parent", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random&, const Target&, FrameIdentity* i) {
         i->parent_hash.fill(0xEE);
         i->parent_hash_bytes = 32;
       });
     }},
    {"frame_with_other_bytes", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random&, const Target& target, FrameIdentity* i) {
         i->prefix_hash = target.resident.bytes;
         i->prefix_hash_bytes = target.resident.size;
       });
     }},
};

constexpr HostileKind kWireKinds[] = {
    {"put_noise", 16, Code::INVALID_ARGUMENT,
     [](Random& r, const Target&) { return PutOf({RandomText(r, 1 + r() % 4096)}); }},
    {"put_noise_after_open",
     16,
     {},
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 4), RandomText(r, 1 + r() % 4096)});
     }},
    {"put_message_bits_flipped",
     16,
     {},
     [](Random& r, const Target& t) {
       // The frame is broken first: no flip of the fields around it can make it good.
       std::string frame = Text(GoodFrame(r, t));
       frame[frame.size() / 2] ^= 1;
       std::string message = Open(t.space.id, 1) + Part(0, frame.size(), frame);
       const size_t fields = message.size() - frame.size();
       message[r() % fields] ^= static_cast<char>(1u << r() % 8);
       return PutOf({std::move(message)});
     }},
    {"put_part_length_lies", 8, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string length = r() % 2 ? "\xFF\xFF\xFF\xFF\x07" : "\xFF\xFF\xFF\xFF\x0F";
       return PutOf({Open(t.space.id, 1) + "\x12" + length + RandomText(r, 100)});
     }},
    {"put_nested_groups", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target& t) {
       return PutOf({Open(t.space.id, 1) + std::string(100'000, '\x1B')});
     }},
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
    {"put_oversized_message", 1, Code::RESOURCE_EXHAUSTED,
     [](Random&, const Target& t) {
       return PutOf({Open(t.space.id, 1), std::string(5u << 20, 'x')});
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

template <typename Message>
std::optional<Message> Parsed(const HostileAnswer& answer) {
  Message message;
  if (answer.messages.size() != 1 || !message.ParseFromString(answer.messages[0])) return {};
  return message;
}

bool StoredNothing(const HostileAnswer& answer) {
  const auto response = Parsed<v1::PutResponse>(answer);
  if (!response || response->results().empty()) return false;
  return std::all_of(response->results().begin(), response->results().end(),
                     [](const auto& result) {
                       return result.outcome() > v1::PUT_OUTCOME_ALREADY_PRESENT &&
                              v1::PutOutcome_IsValid(result.outcome());
                     });
}

bool ReturnedNothing(const HostileAnswer& answer) {
  for (const std::string& bytes : answer.messages) {
    v1::GetResponse response;
    if (!response.ParseFromString(bytes)) return false;
    for (const v1::BlockPart& part : response.parts()) {
      if (part.outcome() != v1::GET_OUTCOME_MISS || !part.payload().empty()) return false;
    }
  }
  return !answer.messages.empty();
}

}  // namespace

std::vector<HostileKind> HostileKinds() {
  std::vector<HostileKind> kinds(std::begin(kNamingKinds), std::end(kNamingKinds));
  kinds.insert(kinds.end(), std::begin(kStreamKinds), std::end(kStreamKinds));
  kinds.insert(kinds.end(), std::begin(kFrameKinds), std::end(kFrameKinds));
  kinds.insert(kinds.end(), std::begin(kWireKinds), std::end(kWireKinds));
  return kinds;
}

bool IsRefusal(const HostileRequest& request, const HostileAnswer& answer) {
  if (request.method == "Cache/Put") return StoredNothing(answer);
  if (request.method == "Cache/Get") return ReturnedNothing(answer);
  if (request.method == "Cache/Lookup") {
    const auto response = Parsed<v1::LookupResponse>(answer);
    return response && response->blocks().empty() && response->lease_id().empty();
  }
  if (request.method == "Cache/Release") {
    const auto response = Parsed<v1::ReleaseResponse>(answer);
    return response && !response->released();
  }
  if (request.method == "Cache/Retain") {
    const auto response = Parsed<v1::RetainResponse>(answer);
    return response && response->retained_blocks() == 0;
  }
  return false;
}

HostileAnswer Send(grpc::GenericStub& stub, const HostileRequest& request) {
  constexpr std::chrono::seconds kPatience{20};
  constexpr std::chrono::milliseconds kSilence{50};
  grpc::ClientContext context;
  const bool silent = request.end == HostileRequest::End::kSilence;
  context.set_deadline(std::chrono::system_clock::now() + (silent ? kSilence : kPatience));
  for (const auto& [key, value] : request.metadata) context.AddMetadata(key, value);

  grpc::CompletionQueue queue;
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, "/larder.v1." + request.method, &queue);
  call->StartCall(nullptr);
  bool open = done();
  for (size_t i = 0; i < request.messages.size() && open; ++i) {
    const grpc::Slice bytes(request.messages[i]);
    call->Write(grpc::ByteBuffer(&bytes, 1), nullptr);
    open = done();
  }
  if (open && request.end == HostileRequest::End::kHalfClose) {
    call->WritesDone(nullptr);
    done();
  }
  if (request.end == HostileRequest::End::kCancel) context.TryCancel();
  HostileAnswer answer;
  for (grpc::ByteBuffer message;; message.Clear()) {
    call->Read(&message, nullptr);
    if (!done()) break;
    grpc::Slice whole;
    if (!message.DumpToSingleSlice(&whole).ok()) break;
    answer.messages.emplace_back(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  call->Finish(&answer.status, nullptr);
  done();
  return answer;
}

}  // namespace larder::testing
