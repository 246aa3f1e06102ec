// Random pieces that hostile requests are made of. Internal to the generators.
#pragma once

#include <climits>
#include <cstdint>
#include <span>
#include <string>

#include "larder/v1/cache.pb.h"
#include "proto/contract/limits.h"
#include "tests/integration/hostile_requests.h"

namespace larder::testing {

using Code = grpc::StatusCode;
using Request = HostileRequest;
using Target = HostileTarget;

std::span<const HostileKind> HostileCalls();  // about names, leases, manifests; and broken messages
std::span<const HostileKind> HostilePuts();   // about Put streams and frames
std::span<const HostileKind> HostileWindows();  // about windows and ranges of them

inline std::string RandomText(Random& random, size_t size) {
  std::string text(size, '\0');
  for (char& byte : text) byte = static_cast<char>(random());
  return text;
}

inline std::string Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline uint64_t OtherSpace(Random& random, const Target& target) {
  return target.space.id ^ (1 + random() % 255);
}

inline google::protobuf::Duration NegativeDuration(Random& random) {
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

inline void FlipBits(Random& random, std::string* bytes) {
  for (uint64_t flips = 1 + random() % 8; flips > 0; --flips) {
    (*bytes)[random() % bytes->size()] ^= static_cast<char>(1u << random() % 8);
  }
}

inline v1::Retention BadRetention(Random& random) {
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

}  // namespace larder::testing
