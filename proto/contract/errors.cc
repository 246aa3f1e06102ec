#include "proto/contract/errors.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <utility>

namespace larder {
namespace {

std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return text;
}

absl::Status Make(absl::StatusCode code, std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) {
    text.append(part.substr(0, kErrorTextBytesMax - text.size()));
  }
  return absl::Status(code, Printable(std::move(text)));
}

}  // namespace

absl::Status InvalidField(std::string_view field, std::string_view found,
                          std::string_view expected) {
  return Make(absl::StatusCode::kInvalidArgument,
              {field, ": found ", found, ", expected ", expected});
}

absl::Status InvalidFields(std::span<const FieldFault> faults) {
  if (faults.size() == 1) {
    return InvalidField(faults[0].field, faults[0].found, faults[0].expected);
  }
  // What does not fit is counted, so that nobody takes a cut list for the whole.
  constexpr size_t kListBytesMax = kErrorTextBytesMax - 100;
  std::string list;
  size_t listed = 0;
  for (const FieldFault& fault : faults) {
    const std::string line =
        "; " + fault.field + ": found " + fault.found + ", expected " + fault.expected;
    if (list.size() + line.size() > kListBytesMax) break;
    list += line;
    ++listed;
  }
  if (listed < faults.size()) {
    list += "; and " + std::to_string(faults.size() - listed) + " more";
  }
  return Make(absl::StatusCode::kInvalidArgument, {std::to_string(faults.size()), " faults", list});
}

absl::Status InvalidConfiguration(std::span<const std::string> faults) {
  std::string text = std::to_string(faults.size());
  text += faults.size() == 1 ? " configuration fault:" : " configuration faults:";
  for (const std::string& fault : faults) text += "\n  " + Printable(fault);
  return absl::InvalidArgumentError(text);
}

absl::Status TooMany(std::string_view field, uint64_t found, uint64_t max) {
  return Make(absl::StatusCode::kInvalidArgument,
              {field, ": found ", std::to_string(found), " entries, expected at most ",
               std::to_string(max), "; split the call"});
}

absl::Status BrokenStream(std::string_view what, std::string_view expected) {
  return Make(absl::StatusCode::kInvalidArgument,
              {"the stream breaks the contract: ", what, "; expected ", expected,
               "; open a new stream and send the batch again"});
}

absl::Status FrameError(FrameFault fault) {
  const std::string_view text = FrameFaultText(fault);
  switch (fault) {
    case FrameFault::kNone:
      return absl::OkStatus();
    case FrameFault::kRootMismatch:
    case FrameFault::kStreamMismatch:
      return Make(absl::StatusCode::kDataLoss,
                  {"frame damaged: ", text, "; drop this copy and transfer it again"});
    case FrameFault::kBadDescriptor:
      return Make(
          absl::StatusCode::kUnimplemented,
          {"frame refused: ", text, "; use a codec that Capabilities lists, or upgrade this end"});
    default:
      return Make(
          absl::StatusCode::kInvalidArgument,
          {"frame refused: ", text, "; build it as kernels/format/FORMAT.md says, do not retry"});
  }
}

absl::Status SpaceUnknown(uint64_t space_id) {
  char hex[17];
  std::snprintf(hex, sizeof(hex), "%016" PRIx64, space_id);
  return Make(absl::StatusCode::kFailedPrecondition,
              {"space 0x", hex,
               " is not registered on this server (it may have restarted); call RegisterManifest, "
               "then repeat the call"});
}

absl::Status LeaseGone() {
  return Make(
      absl::StatusCode::kFailedPrecondition,
      {"the lease has ended or was not granted by this server; call Lookup with a lease_ttl "
       "for a new one"});
}

absl::Status WindowGone() {
  return Make(absl::StatusCode::kFailedPrecondition,
              {"the window is not open, or another client opened it; open one, then repeat the "
               "call over it"});
}

absl::Status PlaneUnavailable(std::string_view reason) {
  return Make(
      absl::StatusCode::kFailedPrecondition,
      {"the plane that was asked for can not be had here (", reason, "); choose another, or auto"});
}

absl::Status FrameOfOtherSpace(std::string_view field) {
  return Make(absl::StatusCode::kFailedPrecondition,
              {"the frame's ", field,
               " is not that of the space named in the call; expected a frame built for this "
               "space; register its own manifest and name that space"});
}

absl::Status VersionMismatch(uint32_t server_major, uint32_t client_major) {
  return Make(absl::StatusCode::kFailedPrecondition,
              {"the server speaks contract version ", std::to_string(server_major),
               ", this client version ", std::to_string(client_major),
               "; install a client and a server of the same major version"});
}

absl::Status CodecBelowFloor(std::string_view plan, std::string_view fidelity,
                             std::string_view floor) {
  return Make(
      absl::StatusCode::kFailedPrecondition,
      {"codec plan '", plan, "' gives fidelity ", fidelity, ", and this model's floor is ", floor,
       "; choose a plan of at least that, or have the operator name one for the "
       "model (codec_by_model)"});
}

absl::Status HashProbeMismatch() {
  return Make(absl::StatusCode::kFailedPrecondition,
              {"server and client compute different digests for the same input: they were built "
               "from different versions of the contract; install the same release on both"});
}

absl::Status OverLimit(std::string_view what, uint64_t used, uint64_t max) {
  return Make(absl::StatusCode::kResourceExhausted,
              {what, ": ", std::to_string(used), " in use, at most ", std::to_string(max),
               " allowed; back off with jitter, then repeat the call"});
}

absl::Status DirectoryUnusable(std::string_view path, std::string_view why) {
  return Make(absl::StatusCode::kFailedPrecondition,
              {"the directory ", path, " can not be used: ", why,
               "; name another, or empty it if its blocks may be lost"});
}

absl::Status StorageFailed(std::string_view doing, std::string_view cause) {
  return Make(absl::StatusCode::kUnavailable,
              {"storage failed while ", doing, ": ", cause, "; recompute now, retry later"});
}

absl::Status Draining() {
  return Make(absl::StatusCode::kUnavailable,
              {"the server is draining and takes no new work; use another server or retry later"});
}

absl::Status ServerUnreachable(std::string_view address, std::string_view cause) {
  return Make(absl::StatusCode::kUnavailable,
              {"no server answers at ", address, " (", cause,
               "); check the address and that larderd runs there, then retry"});
}

absl::Status DeviceFailed(std::string_view device, std::string_view what) {
  return Make(absl::StatusCode::kUnavailable,
              {"the device ", device, " ", what,
               "; use memory of the host, or start again with a device that works"});
}

absl::Status DeadlineSpent(std::string_view operation) {
  return Make(absl::StatusCode::kDeadlineExceeded,
              {operation,
               ": the deadline has passed; recompute what is missing, or allow the call more "
               "time"});
}

absl::Status CorruptFrame(std::string_view where) {
  return Make(absl::StatusCode::kDataLoss,
              {"frame damaged (", where,
               "): its bytes do not match their checksum; drop this copy and recompute the block"});
}

absl::Status DamagedRecord(std::string_view what) {
  return Make(absl::StatusCode::kDataLoss,
              {"a stored block is damaged: ", what, "; drop the copy"});
}

absl::Status NotFound(std::string_view what, std::string_view name) {
  return Make(absl::StatusCode::kNotFound,
              {"no ", what, " is named ", name, "; expected an existing one; check the name"});
}

absl::Status Bug(std::string_view what) {
  return Make(absl::StatusCode::kInternal,
              {what, "; this is a bug of Larder: report it together with the server's log"});
}

}  // namespace larder
