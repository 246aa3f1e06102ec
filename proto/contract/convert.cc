#include "proto/contract/convert.h"

#include <algorithm>

#include "proto/contract/errors.h"
#include "proto/contract/limits.h"
#include "proto/contract/outcomes.h"

namespace larder {
namespace {

// Enums are converted by value.
static_assert(static_cast<int>(Fidelity::kExact) == v1::Fidelity_MAX);
static_assert(static_cast<int>(MissReason::kDraining) == v1::MissReason_MAX);
static_assert(static_cast<int>(PutOutcome::kIncomplete) == v1::PutOutcome_MAX);

std::string DurationText(const google::protobuf::Duration& wire) {
  return std::to_string(wire.seconds()) + " s " + std::to_string(wire.nanos()) + " ns";
}

// nullopt when negative or not a valid google.protobuf.Duration. Rounded up, so that no positive
// duration becomes zero, which means "absent" further in.
std::optional<std::chrono::milliseconds> MillisecondsOf(const google::protobuf::Duration& wire) {
  constexpr int64_t kSecondsMax = 315'576'000'000;  // duration.proto: 10,000 years
  if (wire.seconds() < 0 || wire.seconds() > kSecondsMax) return std::nullopt;
  if (wire.nanos() < 0 || wire.nanos() > 999'999'999) return std::nullopt;
  // Not added as nanoseconds: 10,000 years of them overflow.
  return std::chrono::seconds(wire.seconds()) +
         std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(wire.nanos()));
}

// A retention's duration: nullopt is "for ever". Zero could mean that or "at once", so it is
// refused.
absl::StatusOr<std::optional<std::chrono::milliseconds>> LimitFromWire(
    const google::protobuf::Duration& wire, std::string_view field) {
  const auto limit = MillisecondsOf(wire);
  if (!limit || limit->count() == 0) {
    return InvalidField(field, DurationText(wire), "a duration above 0, or nothing for 'for ever'");
  }
  if (*limit > std::chrono::seconds(kTtlSecondsMax)) return std::nullopt;
  return limit;
}

}  // namespace

absl::StatusOr<std::string> TenantFromWire(const std::string& tenant) {
  if (tenant.empty()) return "default";
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  if (tenant.size() > kTenantBytesMax) {
    return InvalidField("tenant", std::to_string(tenant.size()) + " bytes",
                        "at most " + std::to_string(kTenantBytesMax));
  }
  if (!std::all_of(tenant.begin(), tenant.end(), allowed)) {
    return InvalidField("tenant", "'" + tenant + "'",
                        "only characters of A-Z a-z 0-9 _ . -, or nothing for 'default'");
  }
  return tenant;
}

absl::StatusOr<std::vector<PrefixHash>> HashesFromWire(
    const google::protobuf::RepeatedPtrField<std::string>& wire, uint32_t max,
    std::string_view field) {
  if (wire.empty()) return InvalidField(field, "no entry", "1 to " + std::to_string(max));
  if (static_cast<uint32_t>(wire.size()) > max) return TooMany(field, wire.size(), max);
  std::vector<PrefixHash> hashes;
  hashes.reserve(wire.size());
  for (const std::string& raw : wire) {
    const auto hash = PrefixHash::From(raw);
    if (!hash || hash->empty()) {
      return InvalidField(std::string(field) + "[" + std::to_string(hashes.size()) + "]",
                          std::to_string(raw.size()) + " bytes",
                          "1 to " + std::to_string(kPrefixHashBytesMax));
    }
    hashes.push_back(*hash);
  }
  return hashes;
}

absl::StatusOr<Fidelity> FidelityFromWire(v1::Fidelity wire) {
  if (wire == v1::FIDELITY_UNSPECIFIED) return Fidelity::kCompact;
  // proto3 enums are open: any integer may arrive.
  if (!v1::Fidelity_IsValid(wire)) {
    return InvalidField(
        "fidelity_min", std::to_string(static_cast<int>(wire)),
        "a value named in cache.proto (0 to " + std::to_string(v1::Fidelity_MAX) + ")");
  }
  return static_cast<Fidelity>(wire);
}

absl::StatusOr<RetentionSpec> RetentionFromWire(const v1::Retention& wire) {
  RetentionSpec retention;
  if (wire.has_priority()) {
    if (wire.priority() > kPriorityMax) {
      return InvalidField("retention.priority", std::to_string(wire.priority()),
                          "0 to " + std::to_string(kPriorityMax));
    }
    retention.priority = static_cast<uint8_t>(wire.priority());
  }
  if (wire.has_priority_duration()) {
    auto limit = LimitFromWire(wire.priority_duration(), "retention.priority_duration");
    if (!limit.ok()) return limit.status();
    retention.priority_duration = *limit;
  }
  if (wire.has_ttl()) {
    auto limit = LimitFromWire(wire.ttl(), "retention.ttl");
    if (!limit.ok()) return limit.status();
    retention.ttl = *limit;
  }
  return retention;
}

absl::StatusOr<std::chrono::milliseconds> LeaseTtlFromWire(const google::protobuf::Duration& wire) {
  const auto ttl = MillisecondsOf(wire);
  if (!ttl) return InvalidField("lease_ttl", DurationText(wire), "a duration of 0 or more");
  return std::min<std::chrono::milliseconds>(*ttl, std::chrono::seconds(kLeaseTtlSecondsMax));
}

absl::StatusOr<std::chrono::milliseconds> DurationFromWire(const google::protobuf::Duration& wire,
                                                           std::chrono::milliseconds max,
                                                           std::string_view field) {
  const auto duration = MillisecondsOf(wire);
  if (!duration || *duration > max) {
    return InvalidField(field, DurationText(wire),
                        "a duration of 0 to " + std::to_string(max.count()) + " ms");
  }
  return *duration;
}

google::protobuf::Duration DurationToWire(std::chrono::milliseconds duration) {
  google::protobuf::Duration wire;
  wire.set_seconds(duration.count() / 1000);
  wire.set_nanos(static_cast<int32_t>(duration.count() % 1000 * 1'000'000));
  return wire;
}

absl::StatusOr<std::string> LeaseIdFromWire(const std::string& wire) {
  if (wire.size() != kLeaseIdBytes) {
    return InvalidField("lease_id", std::to_string(wire.size()) + " bytes",
                        "the " + std::to_string(kLeaseIdBytes) + " bytes that Lookup returned");
  }
  return wire;
}

}  // namespace larder
