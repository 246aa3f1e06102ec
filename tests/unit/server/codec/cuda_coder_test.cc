// What it makes of blocks is tested by device_encoder_test, over a device where there is one.
#include "server/codec/cuda_coder.h"

#include <gtest/gtest.h>

#include "server/memory/cuda_arena.h"

namespace larder::server {
namespace {

TEST(CudaCoderTest, SaysWhatIsMissingInsteadOfFailing) {
  CudaCoderOptions options;
  options.limits.raw_bytes_max = uint64_t{1} << 44;  // more than any device has
  const auto coder = CreateCudaCoder(options);
  EXPECT_EQ(coder.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(coder.status().message().find("codec_device"), absl::string_view::npos);
  if (CudaDeviceCount() == 0) {
    EXPECT_EQ(CreateCudaCoder({}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace larder::server
