#include "proto/contract/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace larder {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

struct Expected {
  absl::Status status;
  absl::StatusCode code;
  std::vector<std::string> texts;  // what was wrong, what was expected or what to do
};

TEST(ErrorsTest, EachErrorHasItsCodeAndSaysWhatToDo) {
  const std::vector<Expected> errors = {
      {InvalidField("lease_id", "3 bytes", "16 bytes"),
       absl::StatusCode::kInvalidArgument,
       {"lease_id: found 3 bytes, expected 16 bytes"}},
      {TooMany("prefix_hashes", 70000, 65536),
       absl::StatusCode::kInvalidArgument,
       {"prefix_hashes", "70000", "65536", "split the call"}},
      {BrokenStream("a part without a block", "an index"),
       absl::StatusCode::kInvalidArgument,
       {"a part without a block", "expected an index", "open a new stream"}},
      {SpaceUnknown(0xABC),
       absl::StatusCode::kFailedPrecondition,
       {"space 0x0000000000000abc is not registered", "call RegisterManifest", "repeat the call"}},
      {PlaneUnavailable("no such"),
       absl::StatusCode::kFailedPrecondition,
       {"no such", "choose another"}},
      {WindowGone(), absl::StatusCode::kFailedPrecondition, {"window is not open", "open one"}},
      {LeaseGone(), absl::StatusCode::kFailedPrecondition, {"lease has ended", "call Lookup"}},
      {FrameOfOtherSpace("manifest digest"),
       absl::StatusCode::kFailedPrecondition,
       {"manifest digest", "expected", "register"}},
      {VersionMismatch(2, 1),
       absl::StatusCode::kFailedPrecondition,
       {"server speaks contract version 2, this client version 1", "same major version"}},
      {HashProbeMismatch(),
       absl::StatusCode::kFailedPrecondition,
       {"different digests", "install the same release"}},
      {OverLimit("leases of this client", 4096, 4096),
       absl::StatusCode::kResourceExhausted,
       {"leases of this client", "at most 4096", "back off with jitter"}},
      {Draining(), absl::StatusCode::kUnavailable, {"draining", "another server"}},
      {ServerUnreachable("127.0.0.1:1", "refused"),
       absl::StatusCode::kUnavailable,
       {"127.0.0.1:1", "refused", "check the address"}},
      {DeadlineSpent("Get"), absl::StatusCode::kDeadlineExceeded, {"Get", "recompute"}},
      {CorruptFrame("read from dram"),
       absl::StatusCode::kDataLoss,
       {"read from dram", "checksum", "drop this copy"}},
      {NotFound("space", "7"), absl::StatusCode::kNotFound, {"space", "7", "check the name"}},
      {Bug("two owners"), absl::StatusCode::kInternal, {"two owners", "bug of Larder"}},
  };
  for (const Expected& error : errors) {
    EXPECT_EQ(error.status.code(), error.code) << error.status;
    for (const std::string& text : error.texts) {
      EXPECT_THAT(TextOf(error.status), HasSubstr(text));
    }
  }
}

TEST(ErrorsTest, FrameFaultsMapToTheActionTheyNeed) {
  EXPECT_TRUE(FrameError(FrameFault::kNone).ok());
  for (int i = 1; i <= static_cast<int>(FrameFault::kStreamMismatch); ++i) {
    const auto fault = static_cast<FrameFault>(i);
    const absl::Status status = FrameError(fault);
    const absl::StatusCode expected =
        fault == FrameFault::kRootMismatch || fault == FrameFault::kStreamMismatch
            ? absl::StatusCode::kDataLoss
        : fault == FrameFault::kBadDescriptor ? absl::StatusCode::kUnimplemented
                                              : absl::StatusCode::kInvalidArgument;
    EXPECT_EQ(status.code(), expected) << i;
    EXPECT_THAT(TextOf(status), HasSubstr(std::string(FrameFaultText(fault))));
  }
}

TEST(ErrorsTest, ReportsEveryFaultAtOnce) {
  const std::vector<FieldFault> faults = {{"model", "0 bytes", "1 to 256 bytes"},
                                          {"block_tokens", "0", "1 to 2048"}};
  const absl::Status status = InvalidFields(faults);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TextOf(status),
            "2 faults; model: found 0 bytes, expected 1 to 256 bytes; block_tokens: found 0, "
            "expected 1 to 2048");
  EXPECT_EQ(TextOf(InvalidFields({&faults[0], 1})),
            "model: found 0 bytes, expected 1 to 256 bytes");
}

TEST(ErrorsTest, CountsFaultsThatDoNotFit) {
  const std::vector<FieldFault> faults(1000, {"field", std::string(50, 'f'), "less"});
  const std::string text = TextOf(InvalidFields(faults));
  EXPECT_LE(text.size(), kErrorTextBytesMax);
  EXPECT_THAT(text, HasSubstr("1000 faults; field: found ff"));
  const size_t listed = [&] {
    size_t count = 0;
    for (size_t at = text.find("field:"); at != std::string::npos; at = text.find("field:", at + 1))
      ++count;
    return count;
  }();
  EXPECT_GT(listed, 20u);
  EXPECT_THAT(text, HasSubstr("; and " + std::to_string(1000 - listed) + " more"));
}

TEST(ErrorsTest, ListsEveryConfigurationFaultOnItsLine) {
  const std::vector<std::string> faults(1000, "dram_bytes: found 0,\nexpected more");
  const absl::Status status = InvalidConfiguration(faults);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string text = TextOf(status);
  EXPECT_THAT(text, HasSubstr("1000 configuration faults:\n  dram_bytes: found 0,?expected more"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1000);
  EXPECT_THAT(TextOf(InvalidConfiguration({faults.data(), 1})),
              HasSubstr("1 configuration fault:"));
}

// gRPC sends the text as metadata: bounded, and percent-encoded unless printable.
TEST(ErrorsTest, TextIsBoundedPrintableAscii) {
  const std::string hostile = std::string("line\nbreak\0\x1B[31m\xFF\xC3\xA4", 20);
  const std::string text = TextOf(NotFound("space", hostile));
  EXPECT_THAT(text, AllOf(HasSubstr("line?break??[31m???"), Not(HasSubstr("\n"))));
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; }));
  EXPECT_EQ(TextOf(NotFound("space", std::string(100'000, 'x'))).size(), kErrorTextBytesMax);
}

}  // namespace
}  // namespace larder
