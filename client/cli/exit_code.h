// Exit codes of `larder`, and the one place where an error becomes text on stderr. Scripts rely on
// the codes: never change one.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace larder::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,       // the server or the transport answered with an error
  kExitUsage = 2,       // bad command line or bad input file: fix the call
  kExitNoMatch = 3,     // a miss, a named thing that does not exist, or two manifests that differ
  kExitWrongBytes = 4,  // bytes failed verification
  kExitUnavailable =
      5,  // no server, it is draining, or the deadline passed: try later or elsewhere
};

// The table that `larder --help` shows.
inline constexpr char kExitCodesHelp[] =
    "Exit codes:\n"
    "  0  success\n"
    "  1  the server or the transport answered with an error\n"
    "  2  bad command line or bad input file\n"
    "  3  a miss, a named thing that does not exist, or two manifests that differ\n"
    "  4  bytes failed verification\n"
    "  5  no server, it is draining, or the deadline passed\n";

ExitCode ExitCodeOf(const absl::Status& status);

// The error, and what to do about it; ends with a newline.
std::string ErrorText(const absl::Status& status);

// Prints ErrorText to stderr and returns the exit code. Never called with an OK status.
int Fail(const absl::Status& status);

}  // namespace larder::cli
