// What holds with and without a device; the copies themselves are tested by
// tests/conformance/device_arena_conformance.
#include "server/memory/cuda_arena.h"

#include <gtest/gtest.h>

#include <string>

namespace larder::server {
namespace {

TEST(CudaArenaTest, SaysWhatIsMissingInsteadOfFailing) {
  const auto arena = CreateCudaArena({.bytes = uint64_t{1} << 50});  // more than any device has
  ASSERT_EQ(arena.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(arena.status().message()).find("hbm_bytes"), std::string::npos);
  EXPECT_EQ(CreateCudaArena({.bytes = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_GE(CudaDeviceCount(), 0);
}

}  // namespace
}  // namespace larder::server
