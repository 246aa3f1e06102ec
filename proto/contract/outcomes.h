// Outcomes of batch items, as both ends name them. Values equal the wire enums of cache.proto; a
// miss is a result, never an error.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/format/kv_layout.h"

namespace larder {

enum class MissReason : uint8_t {
  kNone = 0,
  kNeverSeen = 1,
  kEvicted = 2,
  kExpired = 3,
  kFidelity = 4,
  kQuarantined = 5,
  kOverDeadline = 6,
  kBusy = 7,
  kDraining = 8,
  // Never on the wire: the client's own verdict when the bytes did not match their checksums,
  // twice.
  kCorrupt = 9,
};
inline constexpr int kMissReasons = 10;

enum class PutOutcome : uint8_t {
  kUnspecified = 0,
  kStored = 1,
  kAlreadyPresent = 2,
  kConflict = 3,
  kParentAbsent = 4,
  kNoRoom = 5,
  kInvalid = 6,
  kCorrupt = 7,
  kCodecUnknown = 8,
  kIncomplete = 9,
};
inline constexpr int kPutOutcomes = 10;

// Wire values, from a peer that may be newer: what this version does not know becomes kUnspecified
// or kNone.
constexpr PutOutcome PutOutcomeFromWire(int value) {
  return value >= 0 && value < kPutOutcomes ? static_cast<PutOutcome>(value)
                                            : PutOutcome::kUnspecified;
}
constexpr MissReason MissReasonFromWire(int value) {
  const bool known = value >= 0 && value <= static_cast<int>(MissReason::kDraining);
  return known ? static_cast<MissReason>(value) : MissReason::kNone;
}

// Lower-case names as metrics, JSON and tables show them: "never_seen", "already_present".
// "unknown" outside the enum.
std::string_view MissReasonName(MissReason reason);
std::string_view PutOutcomeName(PutOutcome outcome);
std::string_view FidelityName(Fidelity fidelity);

}  // namespace larder
