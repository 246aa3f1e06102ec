#include "proto/contract/outcomes.h"

namespace larder {

std::string_view MissReasonName(MissReason reason) {
  switch (reason) {
    case MissReason::kNone:
      return "none";
    case MissReason::kNeverSeen:
      return "never_seen";
    case MissReason::kEvicted:
      return "evicted";
    case MissReason::kExpired:
      return "expired";
    case MissReason::kFidelity:
      return "fidelity";
    case MissReason::kQuarantined:
      return "quarantined";
    case MissReason::kOverDeadline:
      return "over_deadline";
    case MissReason::kBusy:
      return "busy";
    case MissReason::kDraining:
      return "draining";
    case MissReason::kCorrupt:
      return "corrupt";
  }
  return "unknown";
}

std::string_view PutOutcomeName(PutOutcome outcome) {
  switch (outcome) {
    case PutOutcome::kUnspecified:
      return "unspecified";
    case PutOutcome::kStored:
      return "stored";
    case PutOutcome::kAlreadyPresent:
      return "already_present";
    case PutOutcome::kConflict:
      return "conflict";
    case PutOutcome::kParentAbsent:
      return "parent_absent";
    case PutOutcome::kNoRoom:
      return "no_room";
    case PutOutcome::kInvalid:
      return "invalid";
    case PutOutcome::kCorrupt:
      return "corrupt";
    case PutOutcome::kCodecUnknown:
      return "codec_unknown";
    case PutOutcome::kIncomplete:
      return "incomplete";
  }
  return "unknown";
}

std::string_view FidelityName(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::kUnspecified:
      return "unspecified";
    case Fidelity::kReduced:
      return "reduced";
    case Fidelity::kCompact:
      return "compact";
    case Fidelity::kBalanced:
      return "balanced";
    case Fidelity::kNear:
      return "near";
    case Fidelity::kExact:
      return "exact";
  }
  return "unknown";
}

}  // namespace larder
