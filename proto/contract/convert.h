// Wire messages <-> plain values, with complete validation: what passes here satisfies every limit
// in limits.h, so the store need not check again. Faults are INVALID_ARGUMENT naming the field,
// what was found and what was expected; a manifest's faults are reported all at once. Pure
// functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "larder/v1/cache.pb.h"
#include "larder/v1/manifest.pb.h"
#include "proto/contract/block_key.h"
#include "proto/contract/limits.h"
#include "proto/contract/manifest.h"

namespace larder {

// Refuses, besides every value out of its limits: fields this version does not know (they would be
// missing from the digest, so two different manifests would share blocks), fields that the group's
// kind does not use, a raw block larger than a frame can hold, and a probe that the named hash
// scheme does not give. Nothing is filled in but rope.scaling: empty becomes "none".
absl::StatusOr<Manifest> ManifestFromWire(const v1::Manifest& wire);
v1::Manifest ManifestToWire(const Manifest& manifest);

// Empty becomes "default". Characters [A-Za-z0-9_.-], up to kTenantBytesMax.
absl::StatusOr<std::string> TenantFromWire(const std::string& tenant);

// 1..max hashes of 1..kPrefixHashBytesMax bytes. `field` names the field in errors.
absl::StatusOr<std::vector<PrefixHash>> HashesFromWire(
    const google::protobuf::RepeatedPtrField<std::string>& wire, uint32_t max,
    std::string_view field);

// Unspecified becomes kCompact: the lowest that needs no opt-in.
absl::StatusOr<Fidelity> FidelityFromWire(v1::Fidelity wire);

// How long and how strongly a block is kept. Absent durations are for ever.
struct RetentionSpec {
  uint8_t priority = kPriorityDefault;
  std::optional<std::chrono::milliseconds> priority_duration;
  std::optional<std::chrono::milliseconds> ttl;
};
// Durations above kTtlSecondsMax become absent; 0 is refused, because it could mean "at once" as
// well as "for ever".
absl::StatusOr<RetentionSpec> RetentionFromWire(const v1::Retention& wire);

// Durations are rounded up to milliseconds, so that a positive one never becomes 0.
// 0 when absent; longer than kLeaseTtlSecondsMax is cut to that. INVALID_ARGUMENT when negative or
// malformed.
absl::StatusOr<std::chrono::milliseconds> LeaseTtlFromWire(const google::protobuf::Duration& wire);

// Any duration of at most `max`; INVALID_ARGUMENT when negative, malformed or longer.
absl::StatusOr<std::chrono::milliseconds> DurationFromWire(const google::protobuf::Duration& wire,
                                                           std::chrono::milliseconds max,
                                                           std::string_view field);
google::protobuf::Duration DurationToWire(std::chrono::milliseconds duration);

inline constexpr size_t kLeaseIdBytes = 16;  // random: a lease can not be guessed
absl::StatusOr<std::string> LeaseIdFromWire(const std::string& wire);

}  // namespace larder
