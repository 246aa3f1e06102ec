#include "client/cli/exit_code.h"

#include <cstdio>

namespace larder::cli {
namespace {

const char* AdviceFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return "Is the server up? Start one with `larderd`, or name another with --address "
             "HOST:PORT.";
    case absl::StatusCode::kDeadlineExceeded:
      return "Give it longer with --timeout-ms N, or look at the load with `larder top`.";
    case absl::StatusCode::kResourceExhausted:
      return "The server is at a limit: `larder stats` shows which; lower the batch or "
             "concurrency.";
    case absl::StatusCode::kFailedPrecondition:
      return "Compare both ends: `larder ping` shows the versions, `larder manifest diff` the "
             "fields.";
    case absl::StatusCode::kDataLoss:
      return "Nothing was returned. `larder quarantine` lists what the server has withdrawn.";
    case absl::StatusCode::kInternal:
      return "This is a bug of Larder: please report it with the command and the server's log.";
    default:
      return nullptr;
  }
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
      return kExitNoMatch;
    case absl::StatusCode::kDataLoss:
      return kExitWrongBytes;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    default:
      return kExitError;
  }
}

std::string ErrorText(const absl::Status& status) {
  std::string text = "larder: " + std::string(status.message()) + " [" +
                     absl::StatusCodeToString(status.code()) + "]\n";
  if (const char* advice = AdviceFor(status.code())) text += std::string("  ") + advice + "\n";
  return text;
}

int Fail(const absl::Status& status) {
  std::fputs(ErrorText(status).c_str(), stderr);
  return ExitCodeOf(status);
}

}  // namespace larder::cli
