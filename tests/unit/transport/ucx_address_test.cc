#include "transport/ucx_address.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace larder::transport {
namespace {

TEST(UcxAddressTest, ReadsWhatItWrites) {
  for (const char* text : {"127.0.0.1:0", "127.0.0.1:65535", "10.0.0.255:7440"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    sockaddr_storage storage{};
    std::memcpy(&storage, &*address, sizeof(*address));
    EXPECT_EQ(AddressText(storage), text);
  }
}

TEST(UcxAddressTest, RefusesWhatIsNoAddressAndSaysWhatIsExpected) {
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                           "127.0.0.1:7x", "localhost:1", "256.0.0.1:1", "::1:7440"}) {
    const auto address = ParseAddress(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(address.status().message().find("expected"), std::string_view::npos) << text;
  }
}

}  // namespace
}  // namespace larder::transport
