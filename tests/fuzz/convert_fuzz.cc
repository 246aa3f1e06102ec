// Any bytes as each request that convert.h reads: refused with INVALID_ARGUMENT, or within the
// limits of limits.h. The first byte picks the request.
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "proto/contract/convert.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// The value, or nullptr when it was refused as it should be.
template <class Value>
const Value* Accepted(const absl::StatusOr<Value>& result) {
  if (result.ok()) return &*result;
  Require(result.status().code() == absl::StatusCode::kInvalidArgument);
  return nullptr;
}

void CheckLookup(const larder::v1::LookupRequest& request) {
  const auto hashes =
      larder::HashesFromWire(request.prefix_hashes(), larder::kLookupHashesMax, "prefix_hashes");
  if (const auto* accepted = Accepted(hashes)) {
    Require(accepted->size() == static_cast<size_t>(request.prefix_hashes_size()));
    Require(accepted->size() <= larder::kLookupHashesMax);
    for (size_t i = 0; i < accepted->size(); ++i) {
      Require(!(*accepted)[i].empty());
      Require((*accepted)[i].view() == request.prefix_hashes(static_cast<int>(i)));
    }
  }
  const auto fidelity = larder::FidelityFromWire(request.fidelity_min());
  if (const auto* accepted = Accepted(fidelity)) {
    Require(*accepted >= larder::Fidelity::kReduced && *accepted <= larder::Fidelity::kExact);
  }
  const auto ttl = larder::LeaseTtlFromWire(request.lease_ttl());
  if (const auto* accepted = Accepted(ttl)) {
    const bool absent = request.lease_ttl().seconds() == 0 && request.lease_ttl().nanos() == 0;
    Require(accepted->count() >= 0 && (accepted->count() == 0) == absent);
    Require(*accepted <= std::chrono::seconds(larder::kLeaseTtlSecondsMax));
    Require(*larder::DurationFromWire(larder::DurationToWire(*accepted), *accepted, "f") ==
            *accepted);
  }
}

void CheckRetention(const larder::v1::Retention& wire) {
  const auto retention = larder::RetentionFromWire(wire);
  const auto* accepted = Accepted(retention);
  if (accepted == nullptr) return;
  Require(accepted->priority <= larder::kPriorityMax);
  for (const auto& limit : {accepted->priority_duration, accepted->ttl}) {
    Require(!limit ||
            (limit->count() > 0 && *limit <= std::chrono::seconds(larder::kTtlSecondsMax)));
  }
}

template <class Message>
bool Parse(Message* message, const uint8_t* data, size_t size) {
  return message->ParseFromArray(data, static_cast<int>(size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const google::protobuf::LogSilencer no_complaints_about_utf8;
  const uint8_t request = data[0] % 4;
  ++data;
  --size;
  const std::string raw(reinterpret_cast<const char*>(data), size);
  larder::v1::LookupRequest lookup;
  larder::v1::Retention retention;
  if (request == 0 && Parse(&lookup, data, size)) CheckLookup(lookup);
  if (request == 1 && Parse(&retention, data, size)) CheckRetention(retention);
  if (request == 2) {
    const auto tenant = larder::TenantFromWire(raw);
    if (const auto* accepted = Accepted(tenant)) {
      Require(!accepted->empty() && accepted->size() <= larder::kTenantBytesMax);
    }
    const auto lease_id = larder::LeaseIdFromWire(raw);
    if (const auto* accepted = Accepted(lease_id)) Require(accepted->size() == 16);
  }
  if (request == 3) {
    if (const auto bytes = larder::FromHex(raw)) Require(bytes->size() * 2 == raw.size());
  }
  return 0;
}
