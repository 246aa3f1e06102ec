// Every codec with a device twin: the kernel's body, run on the host thread by thread, gives the bytes of the scalar
// reference. tests/gpu runs the same checks on a device.
#include <gtest/gtest.h>

#include "tests/gpu/host_machine.h"
#include "tests/gpu/tile_check.h"

namespace larder {
namespace {

constexpr uint32_t kHeadDims[] = {64, 80, 96, 128, 256, 576};
constexpr uint32_t kTokens[] = {1, 33, 130};

TEST(TileCoderTest, GivesTheBytesOfTheReference) {
  HostMachine machine;
  size_t compared = 0;
  for (const StreamCodec& codec : DeviceCodecs()) {
    for (const uint32_t dim : kHeadDims) {
      for (const uint32_t tokens : kTokens) {
        TileCase tile_case;
        tile_case.codec = codec;
        tile_case.shape = {tokens, dim};
        tile_case.dtype = (tokens + dim / 16) % 2 == 0 ? Dtype::kBf16 : Dtype::kFp16;
        tile_case.hnd = tokens == 33;
        tile_case.page_tokens = tokens == 130 ? 16 : 0;
        tile_case.blocks = tokens == 130 ? 2 : 1;
        tile_case.streams = 1 + tokens % 2;
        tile_case.seed = dim * 1000 + tokens;
        const std::string fault = CheckTileCase(machine, tile_case);
        if (fault == "skip") continue;
        ASSERT_EQ(fault, "");
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, DeviceCodecs().size() * 12);
}

TEST(TileCoderTest, GivesTheBytesOfTheReferenceBehindEveryStage) {
  HostMachine machine;
  size_t compared = 0;
  for (const StreamCodec& codec : DeviceCodecs()) {
    for (uint8_t transform = 1; transform <= kDeviceStages; ++transform) {
      for (const uint32_t dim : {64u, 80u, 96u}) {
        TileCase tile_case;
        tile_case.shape = {transform == 7 ? 130u : 33u, dim};
        tile_case.codec = WithStages(codec, transform, 1 + (transform + dim / 16) / 2 % 2, dim);
        tile_case.dtype = transform % 4 == 3 ? Dtype::kFp16 : Dtype::kBf16;
        tile_case.outliers = transform % 5;
        tile_case.heads = 1;
        tile_case.seed = dim * 1000 + transform;
        const std::string fault = CheckTileCase(machine, tile_case);
        if (fault == "skip") continue;
        ASSERT_EQ(fault, "");
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, DeviceCodecs().size() * 12);  // lossless takes no stages
}

TEST(TileCoderTest, CodesValuesThatAreAllZeroAndVerySmall) {
  HostMachine machine;
  for (const StreamCodec& codec : DeviceCodecs()) {
    for (const float scale : {0.0f, 1e-30f, 1e-4f}) {
      TileCase tile_case;
      tile_case.codec = codec;
      tile_case.shape = {40, 128};
      tile_case.scale = scale;
      const std::string fault = CheckTileCase(machine, tile_case);
      ASSERT_TRUE(fault == "" || fault == "skip") << fault << " scale " << scale;
    }
  }
}

TEST(TileCoderTest, TakesDamagedTilesAsTheReferenceDoes) {
  HostMachine machine;
  size_t compared = 0;
  for (const StreamCodec& codec : DeviceCodecs()) {
    for (const uint8_t transform : {uint8_t{0}, kTransformCentre, kDeviceStages}) {
      for (uint64_t seed = 0; seed < 8; ++seed) {
        TileCase tile_case;
        tile_case.shape = {40, seed < 4 ? 64u : 128u};
        tile_case.codec = WithStages(codec, transform, 1, tile_case.shape.head_dim);
        tile_case.dtype = seed % 2 == 0 ? Dtype::kBf16 : Dtype::kFp16;
        tile_case.blocks = 3;
        tile_case.page_tokens = seed % 3 == 0 ? 16 : 0;
        tile_case.seed = seed;
        const std::string fault = CheckDamage(machine, tile_case, seed % 4 == 0 ? 64 : 1);
        if (fault == "skip") continue;
        ASSERT_EQ(fault, "");
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, DeviceCodecs().size() * 8);
}

TEST(TileCoderTest, RefusesTheStreamOfAValueThatIsNotFinite) {
  HostMachine machine;
  for (const StreamCodec& codec : DeviceCodecs()) {
    for (const uint8_t transform : {uint8_t{0}, kTransformCentre, kDeviceStages}) {
      TileCase tile_case;
      tile_case.shape = {70, 64};
      tile_case.codec = WithStages(codec, transform, 1, 64);
      tile_case.dtype = transform == 0 ? Dtype::kFp16 : Dtype::kBf16;
      for (const size_t element : {size_t{0}, size_t{12'345}, SIZE_MAX}) {
        const std::string fault = CheckRefusal(machine, tile_case, element);
        ASSERT_TRUE(fault == "" || fault == "skip") << fault;
      }
    }
  }
}

}  // namespace
}  // namespace larder
