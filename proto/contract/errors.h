// Every error of Larder is built here, so that code and text always mean the same thing (code means
// action). Each text says what was wrong, what was expected and what to do. Texts never
// contain keys, tokens or payload. They are printable ASCII of at most kErrorTextBytesMax bytes,
// whatever the arguments are: other bytes become '?', the rest is cut (InvalidConfiguration alone
// has lines, and any length). Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "kernels/format/frame.h"

namespace larder {

// gRPC sends the text as metadata, of which 8 KiB are allowed; a longer text would reach the client
// as RESOURCE_EXHAUSTED instead of its own code.
inline constexpr size_t kErrorTextBytesMax = 4096;

// INVALID_ARGUMENT: fix the call.
absl::Status InvalidField(std::string_view field, std::string_view found,
                          std::string_view expected);
// Every fault of one message in one text; those beyond the text's limit are counted. Not empty.
struct FieldFault {
  std::string field;
  std::string found;
  std::string expected;
};
absl::Status InvalidFields(std::span<const FieldFault> faults);
// Every fault of a program's configuration, one per line and none left out: it goes to a terminal,
// not over the wire. Not empty.
absl::Status InvalidConfiguration(std::span<const std::string> faults);
absl::Status TooMany(std::string_view field, uint64_t found, uint64_t max);
absl::Status BrokenStream(std::string_view what, std::string_view expected);
// A frame that breaks its format: INVALID_ARGUMENT, DATA_LOSS for checksum mismatches,
// UNIMPLEMENTED for an unknown codec. OK for kNone.
absl::Status FrameError(FrameFault fault);

// FAILED_PRECONDITION: fix the state.
absl::Status SpaceUnknown(uint64_t space_id);
absl::Status LeaseGone();
absl::Status WindowGone();
absl::Status PlaneUnavailable(std::string_view reason);
absl::Status FrameOfOtherSpace(std::string_view field);
absl::Status VersionMismatch(uint32_t server_major, uint32_t client_major);
// The two ends compute different hashes or digests for the same input.
absl::Status HashProbeMismatch();

// A put asks for a codec that the operator does not allow for its model.
absl::Status CodecBelowFloor(std::string_view plan, std::string_view fidelity,
                             std::string_view floor);

// RESOURCE_EXHAUSTED: back off with jitter.
absl::Status OverLimit(std::string_view what, uint64_t used, uint64_t max);

// A directory of stored blocks that this server can not use as it is.
absl::Status DirectoryUnusable(std::string_view path, std::string_view why);

// UNAVAILABLE: retry elsewhere or later.
absl::Status StorageFailed(std::string_view doing, std::string_view cause);
absl::Status Draining();
absl::Status ServerUnreachable(std::string_view address, std::string_view cause);
// A client's own device. `what` is what it did, or did not.
absl::Status DeviceFailed(std::string_view device, std::string_view what);

// DEADLINE_EXCEEDED: the budget is spent, recompute.
absl::Status DeadlineSpent(std::string_view operation);

// DATA_LOSS: drop the copy.
absl::Status CorruptFrame(std::string_view where);
// A stored block whose frame or surroundings are not what was written.
absl::Status DamagedRecord(std::string_view what);

// NOT_FOUND: a named thing that should exist.
absl::Status NotFound(std::string_view what, std::string_view name);

// INTERNAL: a bug of ours.
absl::Status Bug(std::string_view what);

}  // namespace larder
